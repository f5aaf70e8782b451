"""Who may connect, and as whom: the controller's answers to the message-passing server."""

import base64
import binascii
import math
import re
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from msgspec import Struct, field

from dpip.controller.flood_guard import FloodGuard
from dpip.controller.nats_configuration import ACCOUNT
from dpip.controller.nats_credentials import Issuer
from dpip.errors import MalformedMessage
from dpip.model.join_token import JoinToken
from dpip.model.worker import is_worker_name
from dpip.ports.clock import Clock
from dpip.wire import subjects

log = structlog.get_logger()

AUTHENTICATE = "$SYS.REQ.USER.AUTH"
"""Where a server asks about a connection (NATS's auth callout)."""

_REFUSED = "refused"
_SECONDS_A_LINE = 1.0
_ID = re.compile(r"[A-Za-z0-9]{1,64}")


class _Server(Struct):
    id: str


class _Client(Struct):
    host: str = ""
    id: int = 0


class _Shown(Struct):
    user: str = ""
    password: str = field(name="pass", default="")


class _Question(Struct):
    server_id: _Server
    user_nkey: str
    connect_opts: _Shown
    client_info: _Client


class _Claims(Struct):
    nats: _Question


class Gatekeeper:
    """Lets a worker in that shows a join token in force, as the one worker that it says it is.

    What it may do is signed into the credential of that connection, and kept by the server. One
    who is refused is told nothing; the reason is in the log, which gets one line a second at most.
    """

    def __init__(
        self,
        join_token: Callable[[str], Awaitable[JoinToken | None]],
        issuer: Issuer,
        clock: Clock,
        guard: FloodGuard,
    ) -> None:
        """``join_token`` finds one by its id; ``guard`` is told who is let in."""
        self._join_token = join_token
        self._issuer = issuer
        self._clock = clock
        self._guard = guard
        self._next_line_at = -math.inf
        self._unlogged = 0

    async def authenticate(self, subject: str, payload: bytes) -> bytes:
        """Answer a server's question about a connection."""
        asked = _question_in(payload, subject)
        try:
            credential = await self._credential(asked)
        except _Refused as refused:
            self._log(asked, refused)
            answer = self._issuer.answer(asked.user_nkey, asked.server_id.id, error=_REFUSED)
        else:
            answer = self._issuer.answer(asked.user_nkey, asked.server_id.id, jwt=credential)
        return answer.encode()

    async def _credential(self, asked: _Question) -> str:
        user = asked.connect_opts.user
        token_id, worker, instance = _names_in(user)
        token = await self._join_token(token_id)
        if token is None:
            raise _Refused("there is no such join token")
        now = self._clock.now()
        if not token.admits(asked.connect_opts.password, now):
            reason = "the secret is wrong" if token.is_in_force(now) else "it has expired"
            raise _Refused(f"join token {token.name!r}: {reason}")
        speaker = subjects.Speaker(worker, instance)
        if self._guard.is_out(speaker):
            raise _Refused(f"worker {worker!r} has flooded a moment ago")
        self._guard.let_in(
            speaker,
            user=user,
            server_id=asked.server_id.id,
            connection_id=asked.client_info.id,
        )
        return self._issuer.user(
            asked.user_nkey,
            account=ACCOUNT,
            name=user,
            publish=subjects.said_by(token_id, worker, instance),
            subscribe=subjects.heard_by(worker, instance),
            expires_at=token.expires_at,
        )

    def _log(self, asked: _Question, refused: "_Refused") -> None:
        now = self._clock.monotonic()
        if now < self._next_line_at:
            self._unlogged += 1
            return
        log.warning(
            "connection refused",
            user=asked.connect_opts.user,
            address=asked.client_info.host,
            reason=str(refused),
            unlogged_before=self._unlogged,
        )
        self._next_line_at = now + _SECONDS_A_LINE
        self._unlogged = 0


class _Refused(Exception):
    """A connection is not let in; says why, for the log."""


def _names_in(user: str) -> tuple[str, str, str]:
    """Token, worker and instance, each of which becomes one token of a subject."""
    match user.split("."):
        case [token_id, worker, instance] if (
            _ID.fullmatch(token_id) and is_worker_name(worker) and _ID.fullmatch(instance)
        ):
            return token_id, worker, instance
    raise _Refused("this is no worker's name")


def _question_in(payload: bytes, subject: str) -> _Question:
    # Not verified: the server lets nobody but itself ask here.
    try:
        _, claims, _ = payload.split(b".")
        padded = claims + b"=" * (-len(claims) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims).nats
    except (ValueError, binascii.Error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(subject=subject, reason=error) from error
