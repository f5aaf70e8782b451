"""The bus keeps the promises of its port, on a real server."""

import asyncio
import os
import signal
import socket

import pytest

from dpip.controller.message_server import MessageServer
from dpip.controller.nats_configuration import SERVER_USER
from dpip.errors import BusRefused, BusUnavailable, DpipError, NoAnswerInTime, NoResponder
from dpip.wire.nats_bus import NatsBus
from tests.nats import PATIENCE, SERVER_PASSWORD, Received, part_of, until


async def echo(_subject: str, payload: bytes) -> bytes:
    return payload


async def until_answered(bus: NatsBus) -> None:
    """Return when ``echo`` can be asked again."""

    async def answered() -> bool:
        try:
            return await bus.request("echo", b"again", 1) == b"again"
        except DpipError:
            return False

    await until(answered, "an answer over the new connections")


async def test_every_subscriber_gets_what_is_published(bus: NatsBus, other: NatsBus) -> None:
    """On whichever connection, with its subject and payload."""
    here, there = Received(), Received()
    await bus.subscribe("news.*", here)
    await other.subscribe("news.a", there)
    await bus.publish("news.a", b"\x00payload")
    assert await here.next() == await there.next() == ("news.a", b"\x00payload")


async def test_nobody_is_told_of_other_subjects(bus: NatsBus, other: NatsBus) -> None:
    """A message that follows is the first that comes."""
    received = Received()
    await bus.subscribe("news.a", received)
    await other.publish("news.b", b"not this")
    await other.publish("news.a", b"this")
    assert await received.next() == ("news.a", b"this")


async def test_messages_are_handled_in_their_order(bus: NatsBus, other: NatsBus) -> None:
    """One at a time, also when the handler waits."""
    handled: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(_subject: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        handled.put_nowait(payload)

    await bus.subscribe("news", handler)
    sent = [str(number).encode() for number in range(50)]
    for payload in sent:
        await other.publish("news", payload)
    async with asyncio.timeout(PATIENCE):
        assert [await handled.get() for _ in sent] == sent


async def test_a_queue_shares_its_messages(bus: NatsBus, other: NatsBus) -> None:
    """Each message is handled by one of the group, and by those outside of it."""
    group, alone = Received(), Received()
    await bus.subscribe("news", group, "group")
    await other.subscribe("news", group, "group")
    await other.subscribe("news", alone)
    for number in range(20):
        await bus.publish("news", bytes([number]))
    assert [(await alone.next())[1] for _ in range(20)] == [bytes([n]) for n in range(20)]
    assert sorted([(await group.next())[1] for _ in range(20)]) == [bytes([n]) for n in range(20)]
    await bus.publish("news", b"last")
    assert (await group.next())[1] == b"last"
    assert group.waiting == 0


async def test_a_request_is_answered(bus: NatsBus, other: NatsBus) -> None:
    """With what the handler returned, many at once too."""
    await other.subscribe("echo", echo)
    payloads = [str(number).encode() for number in range(20)]
    answers = await asyncio.gather(*(bus.request("echo", each, PATIENCE) for each in payloads))
    assert answers == payloads


async def test_an_empty_answer_is_an_answer(bus: NatsBus, other: NatsBus) -> None:
    """It says that somebody is there."""
    await other.subscribe("ping", Received(answer=b""))
    assert await bus.request("ping", b"", PATIENCE) == b""


async def test_a_request_to_nobody_is_known_at_once(bus: NatsBus) -> None:
    """Without waiting for an answer that cannot come."""
    with pytest.raises(NoResponder, match=r"Nobody answers on nobody\.home"):
        await bus.request("nobody.home", b"", PATIENCE)


async def test_a_request_to_one_who_closed_reaches_nobody(bus: NatsBus, other: NatsBus) -> None:
    """A closed connection listens no more."""
    await other.subscribe("echo", echo)
    await other.close()
    with pytest.raises(NoResponder):
        await bus.request("echo", b"", PATIENCE)


async def test_a_request_without_answer_ends(bus: NatsBus, other: NatsBus) -> None:
    """It was received, and its sender is told how long it waited."""
    received = Received(answer=None)
    await other.subscribe("silent", received)
    with pytest.raises(NoAnswerInTime, match=r"silent gave no answer within 0.05 s"):
        await bus.request("silent", b"?", 0.05)
    assert await received.next() == ("silent", b"?")


@pytest.mark.parametrize("error", [ValueError("broken"), NoResponder(subject="elsewhere")])
async def test_a_handler_that_raises_goes_on(
    bus: NatsBus, other: NatsBus, error: Exception
) -> None:
    """Whatever it raises ends the handling of that message only."""

    async def handler(_subject: str, payload: bytes) -> bytes:
        if payload == b"bad":
            raise error
        return payload

    await other.subscribe("echo", handler)
    with pytest.raises(NoAnswerInTime):
        await bus.request("echo", b"bad", 0.05)
    assert await bus.request("echo", b"good", PATIENCE) == b"good"


async def test_subscriptions_outlive_the_server(
    server: MessageServer, bus: NatsBus, other: NatsBus
) -> None:
    """When it is back on its port both sides are connected again, without being asked."""
    await other.subscribe("echo", echo)
    received = Received()
    await other.subscribe("news", received, "group")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until_answered(bus)
    await bus.publish("news", b"fresh")
    assert await received.next() == ("news", b"fresh")
    assert received.waiting == 0


async def test_without_a_server_nothing_waits(server: MessageServer, bus: NatsBus) -> None:
    """Sender and asker are told as soon as the connection is gone."""
    await server.stop()

    async def refused() -> BusUnavailable | None:
        try:
            await bus.publish("news", b"")
        except BusUnavailable as error:
            return error
        return None

    error = await until(refused, "the loss of the connection to be noticed")
    assert server.url in str(error)
    with pytest.raises(BusUnavailable):
        await bus.request("echo", b"", PATIENCE)


async def test_a_subscription_made_without_a_server_works_once_there_is_one(
    server: MessageServer, bus: NatsBus
) -> None:
    """It is kept for the connections that are to come."""
    await server.stop()

    async def lost() -> bool:
        try:
            await bus.publish("news", b"")
        except BusUnavailable:
            return True
        return False

    await until(lost, "the loss of the connection to be noticed")
    await bus.subscribe("echo", echo)
    await server.start()

    async def answered() -> bool:
        try:
            return await bus.request("echo", b"late", 1) == b"late"
        except DpipError:
            return False

    await until(answered, "the subscription to be made")


async def test_a_wrong_password_is_refused(server: MessageServer) -> None:
    """When patience is over, with a hint at the join token."""
    bus = NatsBus(server.url, user=SERVER_USER, password="wrong", name="x")
    with pytest.raises(BusRefused, match="DPIP_JOIN_TOKEN"):
        await bus.open(patience=0)
    await bus.close()


async def test_an_unknown_user_is_refused(server: MessageServer) -> None:
    """With a password that is somebody else's."""
    bus = NatsBus(server.url, user="nobody", password=SERVER_PASSWORD, name="x")
    with pytest.raises(BusRefused):
        await bus.open(patience=0)
    await bus.close()


async def test_where_nobody_listens_the_bus_is_unavailable() -> None:
    """When patience is over the address is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    bus = NatsBus(f"nats://127.0.0.1:{port}", user="u", password="p", name="x")
    with pytest.raises(BusUnavailable, match=f"127.0.0.1:{port}"):
        await bus.open(patience=0)
    await bus.close()


async def test_patience_waits_for_a_server_that_is_still_to_come(server: MessageServer) -> None:
    """A part that starts before the server is connected by the time it is open."""
    await server.stop()
    bus = NatsBus(server.url, user=SERVER_USER, password=SERVER_PASSWORD, name="early")
    opening = asyncio.create_task(bus.open(patience=PATIENCE))
    await asyncio.sleep(0)
    await server.start()
    await opening
    await bus.subscribe("echo", echo)
    assert await bus.request("echo", b"x", PATIENCE) == b"x"
    await bus.close()


async def test_closing_ends_while_there_is_no_server(server: MessageServer) -> None:
    """A bus that tries to come back gives that up, however far its try has got."""
    buses = [part_of(server) for _ in range(8)]
    for bus in buses:
        await bus.open()
    await server.stop()
    for turns, bus in enumerate(buses):
        for _ in range(4 * turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            await bus.close()


async def test_a_subscription_has_arrived_when_it_is_made(server: MessageServer) -> None:
    """The server has answered a ping that came behind it, so that nothing sent later is missed."""
    sent = bytearray()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection(server.host, server.port)
        await asyncio.gather(copy(reader, behind[1], sent), copy(behind[0], writer, bytearray()))

    async def copy(
        source: asyncio.StreamReader, target: asyncio.StreamWriter, log: bytearray
    ) -> None:
        while block := await source.read(65536):
            log += block
            target.write(block)
        target.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        url = f"nats://127.0.0.1:{port}"
        async with NatsBus(url, user=SERVER_USER, password=SERVER_PASSWORD, name="part") as bus:
            await bus.subscribe("news", Received())
            assert 0 < sent.find(b"SUB news") < sent.rfind(b"PING")


async def test_the_end_of_a_connection_is_nobody_elses(
    server: MessageServer, bus: NatsBus, other: NatsBus
) -> None:
    """A task of nats-py that closes it may be cancelled, and all that wait for the same end."""

    async def broken_off() -> None:
        raise asyncio.CancelledError

    bus._client.close = broken_off  # type: ignore[method-assign]
    await other.subscribe("echo", echo)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until_answered(bus)
