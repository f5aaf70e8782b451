"""A real message-passing server, those who connect to it, and what they wait for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from dpip.controller.connections import Connections
from dpip.controller.flood_guard import FloodGuard
from dpip.controller.gatekeeper import AUTHENTICATE, Gatekeeper
from dpip.controller.message_server import MessageServer
from dpip.controller.nats_configuration import SERVER_USER, access_rules
from dpip.controller.nats_credentials import Issuer, new_seed
from dpip.model.join_token import JoinSecret, JoinToken
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock, SystemClock
from dpip.tls.contexts import TlsFiles
from dpip.wire import subjects
from dpip.wire.nats_bus import NatsBus

T = TypeVar("T")

SERVER_PASSWORD = "server's password"
ISSUER = Issuer(new_seed())
JOIN_SECRET = JoinSecret(id="0123456789ab", secret="secret-of-the-tests-" * 2 + "xyz")
JOIN_TOKEN = JoinToken(
    id=JOIN_SECRET.id, name="of-tests", secret_hash=JOIN_SECRET.hash, created_at=0
)
PATIENCE = 60.0
_LOOK_AGAIN_SECONDS = 0.01


def new_server(directory: Path, *, port: int = 0, tls: TlsFiles | None = None) -> MessageServer:
    """A server that is not started yet."""
    return MessageServer(
        directory,
        host="127.0.0.1",
        port=port,
        access_rules=access_rules(server_password=SERVER_PASSWORD, issuer=ISSUER, tls=tls),
        encrypted=tls is not None,
    )


@asynccontextmanager
async def message_server(directory: Path) -> AsyncIterator[MessageServer]:
    """Run a server on a free port; whoever shows the join token of the tests is let in."""
    server = new_server(directory / "message-server")
    await server.start()
    try:
        async with part_of(server) as controller:
            gatekeeper = new_gatekeeper(controller, known(JOIN_TOKEN), SystemClock())
            await controller.subscribe(AUTHENTICATE, gatekeeper.authenticate)
            yield server
    finally:
        await server.stop()


def new_gatekeeper(
    bus: Bus, join_token: Callable[[str], Awaitable[JoinToken | None]], clock: Clock
) -> Gatekeeper:
    """One with a guard of its own."""
    return Gatekeeper(join_token, ISSUER, clock, FloodGuard(Connections(bus), clock))


def known(*tokens: JoinToken) -> Callable[[str], Awaitable[JoinToken | None]]:
    """Find join tokens that are in no datastore."""

    async def find(token_id: str) -> JoinToken | None:
        return next((token for token in tokens if token.id == token_id), None)

    return find


def part_of(server: MessageServer) -> NatsBus:
    """A connection, not open yet, with the rights of DPIP's own parts."""
    return NatsBus(server.url, user=SERVER_USER, password=SERVER_PASSWORD, name="part")


def worker_of(server: MessageServer, name: str = "w", instance: str = "i") -> NatsBus:
    """A connection, not open yet, with the rights of one process of a worker."""
    return NatsBus(
        server.url,
        user=f"{JOIN_SECRET.id}.{name}.{instance}",
        password=JOIN_SECRET.secret,
        inbox=subjects.inbox(name, instance),
        name="worker",
    )


class Received:
    """A handler that keeps what it is called with, and answers with ``answer``."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self._messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def __call__(self, subject: str, payload: bytes) -> bytes | None:
        self._messages.put_nowait((subject, payload))
        return self.answer

    async def next(self) -> tuple[str, bytes]:
        """The next message, awaited if it is not there yet."""
        async with asyncio.timeout(PATIENCE):
            return await self._messages.get()

    @property
    def waiting(self) -> int:
        """How many messages have come in and not been looked at."""
        return self._messages.qsize()


async def until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Return what ``look`` finds, as soon as it finds something; fail after a generous time."""
    found = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await look()):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except TimeoutError:
        raise AssertionError(f"still waiting for {what}") from None
    return found
