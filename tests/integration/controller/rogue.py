"""A worker that speaks raw NATS, and does not do as workers do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from dpip.controller.message_server import MessageServer
from dpip.model.join_token import JoinSecret
from tests.nats import JOIN_SECRET, PATIENCE


class Rogue:
    """One connection, byte by byte: what no client library lets one send, this does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, line: str, payload: bytes | None = None) -> None:
        self._writer.write(line.encode() + b"\r\n")
        if payload is not None:
            self._writer.write(payload + b"\r\n")
        await self._writer.drain()

    async def send_raw(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def publish(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        await self.send(f"PUB {subject} {reply} {len(payload)}", payload)

    async def subscribe(self, subject: str) -> None:
        await self.send(f"SUB {subject} 1")

    async def next(self) -> str | None:
        """The next line, in lower case, that is no ping of the server; ``None`` once it hung up."""
        try:
            async with asyncio.timeout(PATIENCE):
                while (line := await self._reader.readline()).startswith((b"PING", b"INFO")):
                    pass
        except ConnectionResetError:
            return None
        return line.decode().strip().lower() if line else None

    async def until(self, words: str) -> str:
        """The next line with ``words`` in it; fails if the server hangs up before."""
        while (line := await self.next()) is not None:
            if words in line:
                return line
        raise AssertionError(f"the server hung up before it said {words!r}")

    async def until_cut_off(self) -> set[str]:
        """All that arrives before the server hangs up; its last words may get lost by that."""
        said = set()
        while (line := await self.next()) is not None:
            said.add(line)
        return said

    async def heard_nothing(self) -> bool:
        """Whether no message has come in by the answer to a ping."""
        await self.send("PING")
        while (line := await self.next()) != "pong":
            if line is None or line.startswith("msg"):
                return False
        return True


def at(server: MessageServer) -> tuple[str, int]:
    """Where it listens."""
    return server.host, server.port


@asynccontextmanager
async def rogue(
    host: str,
    port: int,
    name: str = "w",
    instance: str = "i",
    secret: JoinSecret = JOIN_SECRET,
    shown: Mapping[str, object] | None = None,
) -> AsyncIterator[Rogue]:
    """Connect as a process of a worker by ``secret``, or with what is ``shown`` in its place."""
    reader, writer = await asyncio.open_connection(host, port)
    as_worker = {"user": f"{secret.id}.{name}.{instance}", "pass": secret.secret}
    options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
    connection = Rogue(reader, writer)
    try:
        await connection.send(
            f"CONNECT {json.dumps({**options, **(as_worker if shown is None else shown)})}"
        )
        yield connection
    finally:
        writer.close()
