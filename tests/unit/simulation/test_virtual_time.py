"""Virtual time: everything happens in its order, and nobody waits."""

import asyncio
import threading
import time

import pytest

from dpip.simulation.virtual_time import VirtualClock, VirtualTimeLoop, running_loop


def test_a_day_passes_at_once() -> None:
    """Sleeping moves the clock on, by exactly as much, without waiting."""

    async def sleep() -> tuple[float, float]:
        clock = VirtualClock(running_loop())
        began = clock.now(), clock.monotonic()
        await asyncio.sleep(86_400)
        return clock.now() - began[0], clock.monotonic() - began[1]

    began = time.monotonic()
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(sleep()) == pytest.approx((86_400, 86_400))
    assert time.monotonic() - began < 3600


def test_what_is_due_happens_in_the_order_of_time() -> None:
    """Sleepers wake by when they are due, and timeouts end what would take longer."""
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.extend((seconds, running_loop().time()))

    async def all_of_them() -> None:
        await asyncio.gather(sleep(30), sleep(0.5), sleep(7))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sleep(100), timeout=3)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(all_of_them())
    assert woken == pytest.approx([0.5, 0.5, 7, 7, 30, 30])


def test_time_stands_still_while_a_thread_is_at_work() -> None:
    """Whoever sleeps does not wake before the thread has ended, however long it takes."""
    order = []

    async def sleep() -> None:
        await asyncio.sleep(0.001)
        order.append("slept")

    async def work() -> None:
        may_end = threading.Event()
        loop = running_loop()
        with loop.standing_still():
            thread = loop.run_in_executor(None, may_end.wait)
            for _ in range(100):  # Whatever else is to be done is done.
                await asyncio.sleep(0)
            may_end.set()
            await thread
            order.append("worked")

    async def both() -> None:
        await asyncio.gather(work(), sleep())

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(both())
    assert order == ["worked", "slept"]
