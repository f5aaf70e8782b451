"""What is told of on the bus, and how often."""

import asyncio
from typing import cast

from dpip.api.hints import Hints
from dpip.errors import BusUnavailable
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import decode
from dpip.wire.messages import MoreJobs


class Wire:
    """Notes what is published."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.is_down = is_down
        self.heard = asyncio.Event()

    async def publish(self, subject: str, payload: bytes) -> None:
        self.said.append((subject, payload))
        self.heard.set()
        if self.is_down:
            raise BusUnavailable(address="nats://nowhere", reason="refused")

    async def until_said(self, count: int) -> list[tuple[str, bytes]]:
        while len(self.said) < count:
            self.heard.clear()
            await self.heard.wait()
        return self.said


async def test_what_becomes_true_together_is_said_once() -> None:
    """Jobs are counted, whatever else is but said."""
    wire = Wire()
    hints = Hints(cast("Bus", wire))
    for _ in range(3):
        hints.one_more_job("a")
        hints.settled("a")
        hints.jobs_ready()
    hints.one_more_job("b")
    said = dict(await wire.until_said(4))
    assert len(said) == len(wire.said)
    for workload, count in (("a", 3), ("b", 1)):
        subject = subjects.more_jobs(workload)
        assert decode(said.pop(subject), MoreJobs, subject).count == count
    assert said == {subjects.settled("a"): b"", subjects.JOBS_READY: b""}


async def test_a_bus_that_is_down_is_told_again_of_what_comes_later() -> None:
    """What could not be said is found out by the listeners themselves."""
    wire = Wire(is_down=True)
    hints = Hints(cast("Bus", wire))
    for count in (1, 2):
        hints.settled("a")
        await wire.until_said(count)
