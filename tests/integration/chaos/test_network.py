"""Cables that can be cut, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from dpip.chaos.network import Network

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """Both ends of connections through the cable of worker 0."""

    def __init__(self, network: Network, port: int, arrived: asyncio.Queue[Ends]) -> None:
        self.network = network
        self._port = port
        self._arrived = arrived

    async def dial(self) -> Ends:
        return await asyncio.open_connection(self.network.address(0), self._port)

    async def answered(self) -> Ends:
        return await self._arrived.get()

    async def connected(self) -> tuple[Ends, Ends]:
        worker = await self.dial()
        return worker, await self.answered()


@asynccontextmanager
async def a_wire() -> AsyncIterator[Wire]:
    arrived: asyncio.Queue[Ends] = asyncio.Queue()

    async def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.put_nowait((reader, writer))

    server = await asyncio.start_server(arrive, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    network = Network(1, (port,))
    # Entered in a thread, as in a program that has no loop of its own.
    await asyncio.to_thread(network.__enter__)
    try:
        yield Wire(network, port, arrived)
    finally:
        await asyncio.to_thread(network.__exit__, None, None, None)
        server.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    opened: AbstractAsyncContextManager[Wire] = a_wire()
    async with opened as wire:
        yield wire


async def sent(sender: Ends, receiver: Ends, text: bytes) -> bytes:
    sender[1].write(text)
    return await asyncio.wait_for(receiver[0].readexactly(len(text)), 30)


async def test_a_cable_carries_both_ways(wire: Wire) -> None:
    """And the end of a connection too."""
    worker, server = await wire.connected()
    assert await sent(worker, server, b"hello") == b"hello"
    assert await sent(server, worker, b"welcome") == b"welcome"
    server[1].close()
    assert await worker[0].read() == b""


@pytest.mark.parametrize("to_servers", [True, False])
async def test_what_is_sent_through_a_cut_arrives_when_it_heals(
    wire: Wire, to_servers: bool
) -> None:
    """The other direction goes on meanwhile."""
    worker, server = await wire.connected()
    assert await sent(worker, server, b"before") == b"before"
    wire.network.cut(0, to_servers=to_servers, to_worker=not to_servers)
    cut, whole = ((worker, server), (server, worker))[:: 1 if to_servers else -1]
    cut[0][1].write(b"lost?")
    assert await sent(*whole, b"still here") == b"still here"
    waiting = asyncio.create_task(cut[1][0].readexactly(5))
    assert await sent(*whole, b"and here") == b"and here"
    assert not waiting.done()
    wire.network.heal(0)
    assert await asyncio.wait_for(waiting, 30) == b"lost?"


async def test_nobody_connects_through_a_cut(wire: Wire) -> None:
    """Whoever dials is kept waiting, and gets through when it heals."""
    wire.network.cut(0, to_servers=True, to_worker=True)
    worker = await wire.dial()
    arriving = asyncio.create_task(wire.answered())
    worker[1].write(b"anyone?")
    await asyncio.sleep(0)
    assert not arriving.done()
    wire.network.heal(0)
    server = await asyncio.wait_for(arriving, 30)
    assert await asyncio.wait_for(server[0].readexactly(7), 30) == b"anyone?"
