"""HTTP to one API: connections kept alive, refusals raised, requests repeated where it is safe."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode

import msgspec
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    SSLError,
)

from dpip.errors import ApiRefused, ApiUnreachable, DpipError

Body = bytes | Iterable[bytes]

_PATIENCE_SECONDS = 30.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 60.0
_BLOCK = 1 << 20
_COME_BACK_LATER = (429, 503)
_UNAUTHENTICATED = 401

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header that makes it safe to repeat a request that may have been served."""


class _Problem(msgspec.Struct):
    """The members of a problem document (RFC 9457) that a caller is told."""

    code: str
    detail: str


class Transport:
    """Sends requests to the API at ``url``. Safe to use from several threads at once.

    A request is repeated for half a minute at most, with growing and jittered delays: after a
    refused connection and after 429 and 503, whose ``Retry-After`` is kept to; a GET after a broken
    connection too; any after a token that is no longer valid, if another can be had. An API that
    has never answered, or not since a request gave it up, is not waited for. Over https the API
    has to be one that the authority in ``tls_ca`` vouches for, or one that this machine trusts.
    """

    def __init__(self, url: str, *, connections: int, tls_ca: Path | None = None) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.token: str | None = None
        self.renew: Callable[[], None] | None = None
        """Gets another token in the place of one that has expired."""
        self._renewing = threading.Lock()
        self._answered = False
        self._closed = threading.Event()
        self._base = _path_of(self.url)
        tls = {"ca_certs": str(tls_ca)} if tls_ca and self.url.startswith("https") else {}
        self._pool = urllib3.connection_from_url(self.url, maxsize=connections, **tls)

    def close(self) -> None:
        """Let go of the connections; a request that waits for its next try ends at once."""
        self._closed.set()
        self._pool.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        sink: BinaryIO | None = None,
        patience: float = 0.0,
    ) -> bytes:
        """Return the body of the answer, or write it to ``sink`` from its start and return b"".

        ``patience`` is how many seconds longer than usual the API may think before it answers.
        Raises ``ApiRefused`` for an answer of 400 and above, ``ApiUnreachable`` for none.
        """
        target = f"{self._base}{path}?{urlencode(query)}" if query else f"{self._base}{path}"
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        delay = _FIRST_DELAY
        may_renew = "Authorization" not in (headers or {})
        while True:
            token = self.token
            try:
                answer = self._pool.urlopen(
                    method,
                    target,
                    body=body,
                    headers=self._headers(headers),
                    retries=False,
                    preload_content=sink is None,
                    timeout=urllib3.Timeout(
                        connect=_CONNECT_SECONDS, read=_READ_SECONDS + patience
                    ),
                )
                self._answered = True
                content = _content(answer, sink)
            except HTTPError as error:
                refused: DpipError = ApiUnreachable(url=self.url, reason=_why(error))
                is_safe = method == "GET" or IDEMPOTENCY_KEY in (headers or {})
                if not self._worth_repeating(error, is_safe):
                    raise refused from error
                wait = _jittered(delay)
            else:
                if answer.status < 300:
                    return content
                refused = _refusal(answer, content)
                if answer.status == _UNAUTHENTICATED and may_renew and self._renewed(token):
                    may_renew = False
                    continue
                if answer.status not in _COME_BACK_LATER:
                    raise refused
                wait = _jittered(_retry_after(answer) or delay)
            if time.monotonic() + wait > give_up_at:
                self._answered = not isinstance(refused, ApiUnreachable)
                raise refused
            if self._closed.wait(wait):
                raise refused
            delay = min(2 * delay, _LONGEST_DELAY)

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        own = {"Accept": "*/*", "User-Agent": "dpip"}
        if self.token is not None:
            own["Authorization"] = f"Bearer {self.token}"
        return {**own, **(headers or {})}

    def _renewed(self, refused: str | None) -> bool:
        """Whether there is another token than the one that was ``refused``."""
        if self.renew is None:
            return False
        with self._renewing, suppress(DpipError):
            if self.token == refused:  # Else another thread was faster.
                self.renew()
        return self.token != refused

    def _worth_repeating(self, error: HTTPError, is_safe: bool) -> bool:
        if not self._answered or isinstance(error, SSLError):
            return False
        return is_safe or isinstance(error, NewConnectionError | ConnectTimeoutError)


def _path_of(url: str) -> str:
    try:
        parsed = urllib3.util.parse_url(url)
    except LocationParseError as error:
        raise ApiUnreachable(url=url, reason="this is no URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ApiUnreachable(url=url, reason="this is no http or https URL")
    return parsed.path or ""


def _content(answer: urllib3.BaseHTTPResponse, sink: BinaryIO | None) -> bytes:
    if sink is None:
        return answer.data
    try:
        if answer.status >= 300:
            return answer.read()
        sink.seek(0)
        sink.truncate()
        for block in answer.stream(_BLOCK, decode_content=False):
            sink.write(block)
    except BaseException:
        answer.close()  # What is left of the body must not be read as the next answer.
        raise
    finally:
        answer.release_conn()
    return b""


def _refusal(answer: urllib3.BaseHTTPResponse, content: bytes) -> ApiRefused:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        said = f"{answer.status} {answer.reason or ''}".strip()
        problem = _Problem(code=f"http_{answer.status}", detail=f"The server answered {said}.")
    return ApiRefused(code=problem.code, status=answer.status, detail=problem.detail)


def _retry_after(answer: urllib3.BaseHTTPResponse) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _jittered(delay: float) -> float:
    """Spread by a quarter, and never earlier, so that clients turned away do not return as one."""
    return delay * random.uniform(1.0, 1.25)  # noqa: S311  # nosec B311 # jitter, no secret


def _why(error: HTTPError) -> str:
    """The reason in a few words, without the names of urllib3's objects."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, NewConnectionError) and isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(error).removeprefix("HTTPConnectionPool").rstrip(".")
