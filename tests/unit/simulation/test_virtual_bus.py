"""The bus within one process keeps what the port promises."""

import asyncio

import pytest

from dpip.errors import NoResponder
from dpip.simulation.virtual_bus import VirtualBus


async def test_each_subscriber_gets_each_message_in_order() -> None:
    """A subject, or one with wildcards, is heard by all who subscribe, one message at a time."""
    bus = VirtualBus()
    heard: dict[str, list[bytes]] = {"exact": [], "wild": []}
    both = asyncio.Event()

    async def exact(_subject: str, payload: bytes) -> None:
        await asyncio.sleep(0)  # The next one has to wait for it.
        heard["exact"].append(payload)

    async def wild(subject: str, payload: bytes) -> None:
        assert subject == "dpip.v1.heartbeat.w.i"
        heard["wild"].append(payload)
        if len(heard["wild"]) == 3:
            both.set()

    await bus.subscribe("dpip.v1.heartbeat.w.i", exact)
    await bus.subscribe("dpip.v1.heartbeat.*.*", wild)
    for payload in (b"1", b"2", b"3"):
        await bus.publish("dpip.v1.heartbeat.w.i", payload)
    await both.wait()
    await asyncio.sleep(0)
    while len(heard["exact"]) < 3:
        await asyncio.sleep(0)
    await bus.close()
    assert heard == {"exact": [b"1", b"2", b"3"], "wild": [b"1", b"2", b"3"]}


async def test_a_message_goes_to_one_of_a_queue() -> None:
    """Those who name the same queue share the messages."""
    bus = VirtualBus()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(_subject: str, payload: bytes) -> None:
        heard.put_nowait(payload)

    await bus.subscribe("dpip.v1.outcome.*.*", keep, "controllers")
    await bus.subscribe("dpip.v1.outcome.*.*", keep, "controllers")
    await bus.publish("dpip.v1.outcome.w.i", b"1")
    await bus.publish("dpip.v1.outcome.w.i", b"2")
    assert [await heard.get(), await heard.get()] == [b"1", b"2"]
    await bus.close()
    assert heard.empty()


async def test_a_request_is_answered_or_nobody_is_there() -> None:
    """The answer is the subscriber's; once it has gone, nobody is."""
    bus = VirtualBus()

    async def answer(_subject: str, payload: bytes) -> bytes:
        return payload + b"!"

    await bus.subscribe("dpip.v1.run.w.i", answer)
    assert await bus.request("dpip.v1.run.w.i", b"run", 1.0) == b"run!"
    bus.unsubscribe("dpip.v1.run.w.i")
    with pytest.raises(NoResponder):
        await bus.request("dpip.v1.run.w.i", b"run", 1.0)
    await bus.close()


async def test_an_error_ends_the_handling_of_one_message() -> None:
    """The next message is handled as ever."""
    bus = VirtualBus()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def stumble(_subject: str, payload: bytes) -> None:
        if payload == b"bad":
            raise ValueError(payload)
        heard.put_nowait(payload)

    await bus.subscribe("dpip.v1.ready", stumble)
    await bus.publish("dpip.v1.ready", b"bad")
    await bus.publish("dpip.v1.ready", b"good")
    assert await heard.get() == b"good"
    await bus.close()
