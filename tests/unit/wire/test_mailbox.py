"""What strangers send is taken in, in turn and within bounds."""

import asyncio
from unittest.mock import Mock

import pytest

from dpip.ports.bus import FlowControl
from dpip.wire import mailbox as module
from dpip.wire.mailbox import Mailbox
from dpip.wire.nats_py import Client, Msg


def message(subject: str, data: bytes = b"") -> Msg:
    return Msg(_client=Mock(spec=Client), subject=subject, data=data)


class Desk:
    """Handles what a mailbox hands on, one after the other, once it is opened."""

    def __init__(self, flow: FlowControl) -> None:
        self.now = 0.0
        self.handled: list[str] = []
        self.floods: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._open = asyncio.Event()
        self.mailbox = Mailbox(self._handle, flow, self._hear_of_flood, seconds=lambda: self.now)

    async def _handle(self, message: Msg) -> None:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self._open.wait()
        self._at_once -= 1
        self.handled.append(f"{message.subject}{message.data.decode()}")

    async def _hear_of_flood(self, subject: str) -> None:
        self.floods.append(subject)

    async def begin(self) -> None:
        """Have a first message in work, so that all others wait."""
        await self.put("first")
        await asyncio.sleep(0)

    async def put(self, *subjects: str) -> None:
        for subject in subjects:
            name, _, data = subject.partition(":")
            await self.mailbox.put(message(name, data.encode()))

    async def open(self) -> list[str]:
        """What has been handled when nothing waits any more, but the first."""
        self._open.set()
        while self.mailbox._tasks:
            await asyncio.sleep(0)
        return self.handled[1:]


def desk(
    most_waiting: int = 1, most_a_second: int = 100, at_once: int = 1, *, grouped: bool = False
) -> Desk:
    """One whose subjects are grouped by their first letter, if that is asked."""
    flow = FlowControl(most_waiting=most_waiting, most_a_second=most_a_second, at_once=at_once)
    if grouped:
        flow = FlowControl(
            most_waiting=most_waiting,
            most_a_second=most_a_second,
            group_of=lambda subject: subject[0],
        )
    return Desk(flow)


async def test_of_a_subject_the_newest_message_counts() -> None:
    """It has the turn of those that it has replaced."""
    at = desk()
    await at.begin()
    await at.put("a:1", "b:1", "a:2", "a:3")
    assert await at.open() == ["a3", "b1"]


async def test_messages_of_a_subject_are_handled_in_order_and_subjects_in_turn() -> None:
    """One with much to say has others wait for one of its messages."""
    at = desk(most_waiting=3)
    await at.begin()
    await at.put("a:2", "a:3", "a:4", "b:1", "c:1", "b:2")
    assert await at.open() == ["a2", "b1", "c1", "a3", "b2", "a4"]


async def test_more_than_can_wait_is_a_flood_however_slowly_it_comes() -> None:
    """Nothing that waits of the one who floods is worth the time, but the newest."""
    at = desk(most_waiting=3)
    await at.begin()
    for number in range(10):
        at.now += 0.5 / 10
        await at.put(f"a:{number}")
    await at.put("b:1")
    assert await at.open() == ["a2", "b1"]
    assert at.floods == ["a"]


async def test_a_crowd_of_one_group_costs_another_one_message() -> None:
    """However many subjects it has."""
    at = desk(grouped=True)
    await at.begin()
    await at.put("a1", "a2", "a3", "a4", "b1", "b2")
    assert await at.open() == ["a1", "b1", "a2", "b2", "a3", "a4"]


async def test_several_subjects_may_be_handled_at_once_but_no_subject_twice() -> None:
    """So one that takes long keeps none waiting but its own."""
    at = desk(at_once=2, most_waiting=5)
    await at.put("first", "a:1", "a:2", "a:3", "b:1")
    await asyncio.sleep(0)
    assert sorted(await at.open()) == ["a1", "a2", "a3", "b1"]
    assert at.most_at_once == 2
    alone = desk(at_once=2, most_waiting=5)
    await alone.put("first:1", "first:2", "first:3")
    await asyncio.sleep(0)
    assert await alone.open() == ["first2", "first3"]
    assert alone.most_at_once == 1


async def test_a_subject_that_floods_is_dropped_and_told_of_once_a_second() -> None:
    """Others are not, and in the next second it may speak again."""
    at = desk(most_waiting=100, most_a_second=3)
    await at.begin()
    await at.put(*["a:x"] * 10, "b:1")
    at.now += 1
    await at.put("a:y")
    assert await at.open() == ["ax", "b1", "ay"]
    assert at.floods == ["a"]


async def test_what_waits_is_bounded_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond is dropped; once there is room, more is taken in."""
    monkeypatch.setattr(module, "_MOST_BYTES", 4)
    at = desk()
    await at.begin()
    await at.put("a:11", "b:22", "c:33")
    assert await at.open() == ["a11", "b22"]
    await at.put("c:33")
    assert (await at.open())[2:] == ["c33"]
