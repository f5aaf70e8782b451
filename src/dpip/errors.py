"""Every error that DPIP raises on purpose.

An error introduces itself: a stable ``code`` for programs, the HTTP ``status`` that the API answers
with, and a ``sentence`` for people whose blanks are filled with the facts of the case.
"""

from typing import ClassVar


class DpipError(Exception):
    """Base of all errors that a caller is expected to handle.

    ``facts`` fill the blanks of ``sentence`` and travel as members of the problem document.
    """

    code: str = "internal_error"
    status: int = 500
    sentence: ClassVar[str] = "Something went wrong that DPIP did not expect."
    retry_after: int | None = None
    """Seconds after which the same request may succeed; sent as ``Retry-After``."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self.sentence.format(**facts))


# What a request can get wrong


class MalformedRequest(DpipError):
    """The request cannot be read at all."""

    code = "malformed_request"
    status = 400
    sentence = "The request cannot be read: {reason}."


class InvalidValue(DpipError):
    """A field holds a value outside its range."""

    code = "invalid_value"
    status = 422
    sentence = "{field} cannot be {value!r}: {allowed}."


class Unauthenticated(DpipError):
    """No token, or none that is known and unexpired."""

    code = "unauthenticated"
    status = 401
    sentence = (
        "This needs a valid token: POST /login with user name and password gives one, "
        "to be sent as 'Authorization: Bearer <token>'."
    )


class WrongPassword(DpipError):
    """The user is unknown or the password is not theirs; which of the two is not said."""

    code = "wrong_password"
    status = 401
    sentence = "User name and password do not match. Send them as HTTP Basic authentication."


class Forbidden(DpipError):
    """The caller is known, and this is not theirs to do."""

    code = "forbidden"
    status = 403
    sentence = "{action} is not open to you: {reason}."


class NotFound(DpipError):
    """The object does not exist, or belongs to somebody else: the two look alike from outside."""

    code = "not_found"
    status = 404
    sentence = "There is no {kind} {id!r}."


class MethodNotAllowed(DpipError):
    """The path is there, and does not take this method."""

    code = "method_not_allowed"
    status = 405
    sentence = "{path} does not take {method}; it takes {allowed}."


class RequestTimeout(DpipError):
    """The client took too long to send its request, or did so too slowly."""

    code = "request_timeout"
    status = 408
    sentence = "The request came in too slowly; {setting} is {limit}. Send it again."


class HeadersTooLarge(DpipError):
    """The request's target and headers are too many or too long."""

    code = "headers_too_large"
    status = 431
    sentence = "A request may have at most {limit} {what}; the setting is {setting}."


class TooLarge(DpipError):
    """A body is over its limit; nothing of it was kept."""

    code = "too_large"
    status = 413
    sentence = "{what} may have at most {limit} bytes; the setting is {setting}."


class QuotaExceeded(DpipError):
    """The user has stored as much as they may; nothing of the picture was kept."""

    code = "quota_exceeded"
    status = 413
    sentence = (
        "Of the {limit} bytes that your pictures may have, {left} are left; the setting is "
        "{setting}. Remove workloads to make room."
    )


class UnsupportedPicture(DpipError):
    """The bytes are not a picture in a format that DPIP reads."""

    code = "unsupported_picture"
    status = 415
    sentence = "This is not a picture that DPIP reads: {reason}. It reads {formats}."


class UnsupportedMediaType(DpipError):
    """The body is of a kind that this request does not take."""

    code = "unsupported_media_type"
    status = 415
    sentence = "The Content-Type cannot be {value!r}: this takes {allowed}."


class RangeNotSatisfiable(DpipError):
    """The range that was asked for begins behind the last byte."""

    code = "range_not_satisfiable"
    status = 416
    sentence = "The range lies outside of the {size} bytes that there are."


class StaleAttempt(DpipError):
    """The attempt no longer holds the lease on its job, so its result is not taken."""

    code = "stale_attempt"
    status = 409
    sentence = "Attempt {attempt} no longer holds job {job_id}: the result was not taken."


class Deposed(DpipError):
    """Another scheduler leads now: what this one would have decided did not happen."""

    code = "deposed"
    sentence = "This scheduler's term {term} is over; the present one is {present}."


class TooBusy(DpipError):
    """There is more to do already than may be waiting; nothing of the request was kept."""

    code = "too_busy"
    status = 429
    sentence = "There is too much to do just now: {reason}. Try again; the setting is {setting}."
    retry_after = 2


class TooManyRequests(DpipError):
    """More of something than the caller may ask for in a minute."""

    code = "too_many_requests"
    status = 429
    sentence = "There may be at most {limit} {what} a minute. Try again in {wait} s."
    retry_after = 60

    def __init__(self, **facts: object) -> None:
        super().__init__(**facts)
        self.retry_after = int(str(facts["wait"]))


class TooManyConnections(DpipError):
    """As many connections are open as may be."""

    code = "too_many_connections"
    status = 503
    sentence = "{limit} connections are open already; the setting is {setting}. Try again."
    retry_after = 2


class StorageUnavailable(DpipError):
    """The datastore or the image store cannot be reached just now."""

    code = "storage_unavailable"
    status = 503
    sentence = "The {storage} cannot be used just now: {reason}. Try again."
    retry_after = 2


class ImageDamaged(DpipError):
    """The image store has lost an image, or its bytes are not those that were kept."""

    code = "image_damaged"
    status = 500
    sentence = "The stored bytes of image {id} are {what}. An operator has to restore them."


class StorageFull(DpipError):
    """There is no room left for the bytes; nothing of them was kept."""

    code = "storage_full"
    status = 507
    sentence = "There is no space left to keep this. An operator has to make room."
    retry_after = 30


# What an operator or a program can get wrong


class UserExists(DpipError):
    """A user of that name is there already."""

    code = "user_exists"
    status = 409
    sentence = "There is already a user {name!r}; 'dpip user passwd {name}' sets a new password."


class JoinTokenExists(DpipError):
    """A join token of that name is there already."""

    code = "join_token_exists"
    status = 409
    sentence = (
        "There is already a join token {name!r}; 'dpip join-token rotate {name}' gives it a new "
        "secret."
    )


class BadSetting(DpipError):
    """A setting cannot be used; says which, where it came from and what would do."""

    code = "bad_setting"
    sentence = "Setting {setting} ({source}) cannot be {value!r}: {allowed}."


class CannotStart(DpipError):
    """A part of the system cannot start as it was asked to."""

    code = "cannot_start"
    sentence = "{part} cannot start: {reason}."


# What the message-passing server can answer


class BusUnavailable(DpipError):
    """The message-passing server cannot be reached."""

    code = "bus_unavailable"
    status = 503
    sentence = "The message-passing server at {address} cannot be reached: {reason}."
    retry_after = 2


class BusRefused(DpipError):
    """The message-passing server does not accept the credentials."""

    code = "bus_refused"
    sentence = (
        "The message-passing server at {address} does not accept these credentials. "
        "A worker needs a join token that its controller knows, in DPIP_JOIN_TOKEN, and the "
        "controller has to be running."
    )


class AuthorityUnknown(DpipError):
    """A server does not present the certificate of the authority that a join token names."""

    code = "authority_unknown"
    sentence = (
        "{address} does not present the certificate of the authority that the join token names "
        "(SHA-256 {authority}). Either another listens there, or the join token is of another "
        "system, or an old one."
    )


class NoResponder(DpipError):
    """Nobody listens on the subject of a request: it reached no one."""

    code = "no_responder"
    sentence = "Nobody answers on {subject}."


class NoAnswerInTime(DpipError):
    """A request was sent and not answered in time: it may or may not have been received."""

    code = "no_answer_in_time"
    sentence = "{subject} gave no answer within {seconds} s."


class MalformedMessage(DpipError):
    """Bytes from the message-passing server are not the message that belongs on their subject."""

    code = "malformed_message"
    sentence = "A message on {subject} cannot be read: {reason}."


class WorkerQuarantined(DpipError):
    """So much is held against the worker that it is given no more work."""

    code = "worker_quarantined"
    status = 409
    sentence = (
        "Worker {name!r} is quarantined: results of several jobs were refused, or other workers "
        "have done what it failed. "
        "Once its machine is mended, 'dpip worker release {name}' lets it join again."
    )


class WorkerGone(DpipError):
    """The worker is not there to be told something, or is about to leave."""

    code = "worker_gone"
    status = 409
    sentence = (
        "Worker {name!r} can be told nothing, because it is in state {state!r}. "
        "It has to be started again first."
    )


class JoinRefused(DpipError):
    """The controller does not take this worker in."""

    code = "join_refused"
    sentence = "The controller refused worker {name!r}: {reason}."


# What a client of the API can meet


class ApiUnreachable(DpipError):
    """The API cannot be reached, or the connection broke before its answer was there."""

    code = "api_unreachable"
    status = 503
    sentence = "{url} cannot be reached: {reason}."


class UnexpectedAnswer(DpipError):
    """Whatever listens there does not answer as a DPIP API does."""

    code = "unexpected_answer"
    sentence = "{url} does not answer as a DPIP API does: {reason}."


class NoSpaceLeft(DpipError):
    """The disk that is to take the results is full."""

    code = "no_space_left"
    sentence = (
        "There is no space left in {folder}. Make room, and run the command again, with "
        "--overwrite if some results are there already."
    )


class ApiRefused(DpipError):
    """The API refused a request; ``code``, ``status`` and ``detail`` are those of its answer."""

    sentence = "{detail}"

    def __init__(self, *, code: str, status: int, detail: str) -> None:
        super().__init__(code=code, status=status, detail=detail)
        self.code = code
        self.status = status
        self.detail = detail
