"""The HTTP server, inside the event loop of its owner."""

import asyncio
import math
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import uvicorn
from fastapi import FastAPI

from dpip.api.http_protocol import BoundedHttpProtocol
from dpip.api.settings import HttpLimits
from dpip.api.unsent_answers import UnsentAnswers
from dpip.errors import CannotStart

_BACKLOG = 2048
_OPEN_FILES = 65_536
_FINISH_SECONDS = 5
_COUNT_SECONDS = 0.5


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host``; port 0 takes a free one.

    Raises ``CannotStart`` if the address cannot be had.
    """
    _allow_many_open_files()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotStart(
            part="The API",
            reason=f"it cannot listen on {host} port {port} ({error.strerror or error}). Stop "
            "what listens there, or choose another port with --port or DPIP_PORT",
        ) from error
    # Inherited by every connection: an answer's last packet does not wait for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _allow_many_open_files() -> None:
    """Raise this process's own limit, which is often too low for as many connections as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems name a hard limit that they then refuse.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))


@asynccontextmanager
async def serve(
    app: FastAPI,
    listener: socket.socket,
    limits: HttpLimits,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[None]:
    """Serve ``app`` on ``listener`` for the length of the block, over ``tls`` or in the clear.

    At its end requests that wait for something are answered at once, and those that run have a
    few seconds to finish.
    """
    server = _Server(
        uvicorn.Config(
            app,
            ssl_context_factory=(lambda *_: tls) if tls else None,
            loop="none",
            http=partial(  # type: ignore[arg-type]
                BoundedHttpProtocol, limits=limits, unsent=UnsentAnswers()
            ),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=bool(limits.trusted_proxies),
            forwarded_allow_ips=limits.trusted_proxies,
            backlog=_BACKLOG,
            timeout_keep_alive=math.ceil(limits.idle_seconds),
            timeout_graceful_shutdown=_FINISH_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="serve HTTP")
    counting = asyncio.create_task(_count(server), name="count seconds of connections")
    try:
        # Its end comes before the server's, so that nobody who waits holds the server up.
        async with app.router.lifespan_context(app):
            yield
    finally:
        counting.cancel()
        server.should_exit = True
        await serving


async def _count(server: uvicorn.Server) -> None:
    """Have every connection count the seconds."""
    while True:
        await asyncio.sleep(_COUNT_SECONDS)
        for connection in list(server.server_state.connections):
            if isinstance(connection, BoundedHttpProtocol):
                connection.count(_COUNT_SECONDS)


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process to their owner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
