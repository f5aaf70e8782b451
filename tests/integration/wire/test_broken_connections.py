"""A connection that breaks in the worst moment is made again, and nothing stays of it."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
import pytest
from nats.aio.client import Client

from dpip.controller.message_server import MessageServer
from dpip.controller.nats_configuration import SERVER_USER
from dpip.errors import BusUnavailable, DpipError
from dpip.ports.bus import Handler
from dpip.wire import nats_bus
from dpip.wire.nats_bus import NatsBus
from dpip.wire.nats_client import until_received
from tests.nats import PATIENCE, SERVER_PASSWORD, Received, until, worker_of


async def echo(_subject: str, payload: bytes) -> bytes:
    return payload


async def until_answered(asking: NatsBus, subject: str = "echo") -> None:
    async def answered() -> bool:
        try:
            return await asking.request(subject, b"again", 1) == b"again"
        except DpipError:
            return False

    await until(answered, "an answer over a new connection")


class Relay:
    """Carries connections to a server, until it is told to take no more of them and break them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._carrying: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        self._carrying += [
            asyncio.create_task(self._copy(reader, far_writer)),
            asyncio.create_task(self._copy(far_reader, writer)),
        ]

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while block := await source.read(1 << 16):
            target.write(block)
            await target.drain()
        target.close()

    async def take_no_more(self) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def reset(self) -> None:
        at_once = struct.pack("ii", 1, 0)
        for writer in self._writers:
            if not writer.is_closing():
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def relayed(server: MessageServer) -> AsyncIterator[tuple[Relay, NatsBus]]:
    relay = Relay(server.port)
    async with await asyncio.start_server(relay.carry, "127.0.0.1", 0) as listening:
        url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with NatsBus(url, user=SERVER_USER, password=SERVER_PASSWORD, name="part") as bus:
            yield relay, bus
        await relay.take_no_more()
        relay.reset()


async def test_a_connection_is_reset_with_something_still_to_be_sent(
    server: MessageServer, other: NatsBus
) -> None:
    """It is made again, with its subscriptions, and no task of the former stays."""
    async with relayed(server) as (relay, bus):
        await bus.subscribe("echo", echo)

        async def publish() -> None:
            while connection.is_connected:
                await bus.publish("news", bytes(60_000))
                await asyncio.sleep(0)

        async def stuck() -> bool:
            return bus._client.pending_data_size > 1 << 20

        connection = bus._client
        await relay.take_no_more()
        publishing = asyncio.create_task(publish())
        await until(stuck, "more to be sent than the connection takes")
        relay.reset()
        await until_answered(other)
        await publishing
        assert not [task for task in asyncio.all_tasks() if of(connection, task)]


def of(client: Client, task: asyncio.Task[object]) -> bool:
    """Whether ``task`` is one of the client's own, or one of its subscriptions'."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    owner = frame and frame.f_locals.get("self")
    return owner is client or getattr(owner, "_conn", None) is client


async def test_closing_survives_a_connection_that_is_reset(server: MessageServer) -> None:
    """It is closed, whatever was still to be sent."""
    async with relayed(server) as (relay, bus):
        await relay.take_no_more()
        for _ in range(20):
            await bus.publish("news", bytes(60_000))
        relay.reset()
        async with asyncio.timeout(PATIENCE):
            await bus.close()


def fail_late_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[Client]:
    """Have the next connection fail after its subscriptions are made; it is put into the list."""
    failed: list[Client] = []

    async def fail_once(client: Client) -> None:
        if not failed:
            failed.append(client)
            raise error
        await until_received(client)

    monkeypatch.setattr(nats_bus, "until_received", fail_once)
    return failed


def lose(server: MessageServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("error", [nats.errors.FlushTimeoutError(), ZeroDivisionError()])
async def test_a_reconnect_that_fails_late_leaves_no_connection(
    server: MessageServer, bus: NatsBus, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is tried again, and what is published then is handled once."""
    received = Received()
    await bus.subscribe("echo", echo)
    await bus.subscribe("news", received)
    failed = fail_late_once(monkeypatch, error)
    lose(server)
    await until_answered(bus)
    assert failed[0].is_closed
    for payload in (b"first", b"last"):
        await bus.publish("news", payload)
    assert [(await received.next())[1] for _ in range(2)] == [b"first", b"last"]


async def test_a_first_connection_that_fails_late_is_tried_again(
    server: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the patience; without any, the bus is unavailable."""
    failed = fail_late_once(monkeypatch, nats.errors.FlushTimeoutError())
    bus = NatsBus(server.url, user=SERVER_USER, password=SERVER_PASSWORD, name="part")
    with pytest.raises(BusUnavailable):
        await bus.open(patience=0)
    assert failed.pop().is_closed
    await bus.open(patience=PATIENCE)
    assert failed.pop().is_closed
    await bus.close()


async def test_a_subscription_that_is_made_during_a_reconnect_is_made_once(
    server: MessageServer, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far the new connection has got."""
    received = Received()
    late: list[tuple[str, Handler]] = [("late", received), ("echo", echo)]

    async def subscribe_meanwhile(client: Client) -> None:
        while late:
            await bus.subscribe(*late.pop(0))
        await until_received(client)

    await bus.subscribe("early", echo)
    monkeypatch.setattr(nats_bus, "until_received", subscribe_meanwhile)
    lose(server)
    await until_answered(bus)
    for payload in (b"first", b"last"):
        await bus.publish("late", payload)
    assert [(await received.next())[1] for _ in range(2)] == [b"first", b"last"]


async def test_workers_come_back_after_those_who_let_them_in(
    server: MessageServer, other: NatsBus
) -> None:
    """The controller, who is asked about a worker, needs nobody to be let in again itself."""
    async with worker_of(server) as worker:
        subject = "dpip.v1.ping.w.i"
        await worker.subscribe(subject, echo)
        lose(server)
        await until_answered(other, subject)
        await other.subscribe("dpip.v1.outcome.w.i", echo)
        await until_answered(worker, "dpip.v1.outcome.w.i")


async def test_all_answers_to_a_request_need_a_connection(
    server: MessageServer, bus: NatsBus
) -> None:
    """Without one, whoever asks is told at once."""
    await server.stop()
    with contextlib.suppress(DpipError):
        while True:
            await bus.publish("news", b"")
            await asyncio.sleep(0)
    with pytest.raises(BusUnavailable):
        await bus.request_all("echo", b"", PATIENCE)
