"""HTTP on one connection, with bounds on what a client may send and how long it may take."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, NoReturn, ParamSpec, TypeVar

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dpip.api.errors import problem
from dpip.api.request_head import check_trailer, checked_target
from dpip.api.security_headers import SECURITY_HEADERS
from dpip.api.settings import HttpLimits
from dpip.api.unsent_answers import PIECE, UnsentAnswers
from dpip.errors import (
    DpipError,
    HeadersTooLarge,
    MalformedRequest,
    RequestTimeout,
    TooManyConnections,
)

P = ParamSpec("P")
T = TypeVar("T")

# What is wrong with a request is told to whoever sent it.
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

_HELD_BY_CONNECTION = 64 * 1024
"""Bytes of an answer beyond which a connection takes no further piece."""
_MOST_WAITING = 16
"""Requests of a connection behind the one that is being answered."""
_WINDOW_SECONDS = 10.0
"""A client is slow if it was too slow for this long."""


class _Phase(Enum):
    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    ANSWER = auto()


class _ClientGone(asyncio.CancelledError):
    """Nobody is left to answer."""


class _Pace:
    """Whether bytes keep moving: enough of them in each window of the time that is counted."""

    def __init__(self, least_bytes_a_second: float) -> None:
        self._least = least_bytes_a_second * _WINDOW_SECONDS
        self.restart()

    def restart(self) -> None:
        """Begin a window."""
        self.moved = 0
        self._seconds = 0.0

    def is_too_slow(self, seconds: float) -> bool:
        """Count ``seconds`` more; whether a window has ended in which too little has moved."""
        self._seconds += seconds
        if self._seconds < _WINDOW_SECONDS:
            return False
        is_slow = self.moved < self._least
        self.restart()
        return is_slow


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which has no deadline but for idle connections and no bound on headers.

    Time is counted by ``count``, which the server calls at intervals, and only while it is the
    client's turn: neither a server that is busy nor one that does not read makes a client slow.
    """

    def __init__(self, *, limits: HttpLimits, unsent: UnsentAnswers, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._application, self.app = self.app, self._answer
        self._limits = limits
        self._unsent_answers = unsent
        self._at_work: RequestResponseCycle | None = None
        self._phase = _Phase.IDLE
        self._age = 0.0
        self._seconds_of_phase = 0.0
        self._header_bytes = 0
        self._header_count = 0
        self._incoming = _Pace(limits.least_bytes_a_second)
        self._outgoing = _Pace(limits.least_bytes_a_second)
        self._unsent = 0
        self._refusal: DpipError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, unless there are too many connections."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_HELD_BY_CONNECTION)
        self._enter(_Phase.HEADERS)
        limit = self._limits.connections
        if len(self.connections) > limit:
            self._refuse(TooManyConnections(limit=limit, setting="http.connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Have nothing more sent, also where further requests wait behind the one at work."""
        super().connection_lost(exc)
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of a request."""
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEADERS)
        began_in = self._phase
        if began_in is _Phase.BODY:
            self._incoming.moved += len(data)
        super().data_received(data)
        if began_in is _Phase.HEADERS is self._phase:
            # The parser keeps to itself what it has of a header until all of it is there.
            self._header_bytes += len(data)
            if self._header_bytes > self._limits.header_bytes:
                self._refuse(self._too_large("bytes of headers", "header_bytes"))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._age = 0.0
        self._header_bytes = self._header_count = 0
        self._enter(_Phase.HEADERS)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._count_header(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. A trailer, which comes behind the body, is left out: it is no header."""
        self._header_count += 1
        if self._header_count > self._limits.headers:
            self._reject(self._too_large("headers", "headers"))
        self._count_header(len(name) + len(value))
        if self._phase is _Phase.HEADERS:
            super().on_header(name, value)
        else:
            self._check(check_trailer, name)

    def on_headers_complete(self) -> None:
        """Let the application begin, if the head of the request can be read in one way only."""
        if len(self.pipeline) == _MOST_WAITING:
            self._reject(MalformedRequest(reason=f"{_MOST_WAITING} others wait before it"))
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.url = self._check(checked_target, method, self.url, version, self.headers)
        self._enter(_Phase.BODY)
        self._incoming.restart()
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # The parser takes what follows for another protocol, which nobody here speaks.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Take note that all of the request is there."""
        super().on_message_complete()
        is_answered = self.cycle is None or self.cycle.response_complete
        self._enter(_Phase.IDLE if is_answered else _Phase.ANSWER)

    def on_response_complete(self) -> None:
        """Go on to the next request, once all of this one is there."""
        if self._phase is _Phase.ANSWER and not self.pipeline:
            self._enter(_Phase.IDLE)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or more of it than may be."""
        self._refuse(self._refusal or MalformedRequest(reason=f"it is no HTTP/1.1 ({msg})"))

    def count(self, seconds: float) -> None:
        """Let ``seconds`` have passed, and cut the connection if that is more than it may take."""
        if self._does_not_read(seconds):
            self.transport.abort()
            return
        if self.transport.is_closing():
            return
        self._age += seconds
        is_read_from = self._is_read_from()
        if is_read_from:
            self._seconds_of_phase += seconds
        if self._phase is _Phase.IDLE:
            if self._seconds_of_phase > self._limits.idle_seconds:
                self.transport.close()
        elif self._age > self._limits.request_seconds:
            self._refuse(self._too_late("request_seconds"))
        elif self._phase is _Phase.HEADERS:
            if self._seconds_of_phase > self._limits.header_seconds:
                self._refuse(self._too_late("header_seconds"))
        elif self._phase is _Phase.BODY and is_read_from:
            if self._seconds_of_phase > self._limits.body_seconds:
                self._refuse(self._too_late("body_seconds"))
            elif self._incoming.is_too_slow(seconds):
                self._refuse(self._too_late("least_bytes_a_second"))

    def _let_go(self) -> None:
        """Have the request at work know that nobody is left to answer."""
        if self._at_work and not self._at_work.response_complete:
            self._at_work.disconnected = True
            self._at_work.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. What it sends goes out in pieces, as the client reads them."""

        async def send_in_pieces(message: Message) -> None:
            body, more = message.get("body", b""), message.get("more_body", False)
            if len(body) <= PIECE and not more:
                await send(message)
                return
            with self._unsent_answers.holding(self.transport, len(body)) as given:
                for start in range(0, len(body), PIECE):
                    piece = body[start : start + PIECE]
                    more_of_it = more or start + PIECE < len(body)
                    await send({**message, "body": piece, "more_body": more_of_it})
                    given(len(piece))
            if more:
                # It is not even read before there is room for it.
                await self.flow.drain()
                if self.transport.is_closing():
                    self._let_go()
                    raise _ClientGone

        with suppress(_ClientGone):
            await self._application(scope, receive, send_in_pieces)

    def _is_read_from(self) -> bool:
        """Whether it is up to the client that no more has come in."""
        waits_for_leave = self._phase is _Phase.BODY and self.cycle.waiting_for_100_continue
        return not self.flow.read_paused and not waits_for_leave

    def _does_not_read(self, seconds: float) -> bool:
        """Whether bytes of an answer have waited too long for the client to take them."""
        unsent = self.transport.get_write_buffer_size()
        is_answered = self.cycle is None or self.cycle.response_complete
        # Otherwise the application may still be adding to them.
        if not unsent or not (self.flow.write_paused or is_answered):
            self._outgoing.restart()
            self._unsent = unsent
            return False
        self._outgoing.moved += max(0, self._unsent - unsent)
        self._unsent = unsent
        return self._outgoing.is_too_slow(seconds)

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._seconds_of_phase = 0.0

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            self._reject(self._too_large("bytes of headers", "header_bytes"))

    def _check(self, check: Callable[P, T], *what: P.args, **more: P.kwargs) -> T:
        """Return what ``check`` does, or refuse the request as it says."""
        try:
            return check(*what, **more)
        except MalformedRequest as refusal:
            self._reject(refusal)

    def _reject(self, refusal: DpipError) -> NoReturn:
        """End the parser's work: it has the request answered by ``send_400_response``."""
        self._refusal = refusal
        raise refusal

    def _too_large(self, what: str, setting: str) -> HeadersTooLarge:
        limit = getattr(self._limits, setting)
        return HeadersTooLarge(what=what, limit=limit, setting=f"http.{setting}")

    def _too_late(self, setting: str) -> RequestTimeout:
        limit = getattr(self._limits, setting)
        return RequestTimeout(limit=limit, setting=f"http.{setting}")

    def _refuse(self, error: DpipError) -> None:
        """Answer with ``error`` if no other answer is on its way, and close the connection."""
        if self.transport.is_closing():
            return
        if self.cycle and not self.cycle.response_complete:
            if self.pipeline or self.cycle.response_started or self._phase is _Phase.HEADERS:
                self.transport.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        answer = problem(error)
        lines = [f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}".encode()]
        headers = [*answer.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()
