"""Waiting requests are woken for their workload, and all of them at the end."""

from collections.abc import Awaitable, Callable

from dpip.api.settled_feed import SettledFeed
from dpip.ports.bus import FlowControl, Handler
from dpip.wire import subjects


class OneSubscription:
    """A bus that hands its messages to the one who subscribed."""

    def __init__(self) -> None:
        self.handler: Handler | None = None

    async def publish(self, subject: str, payload: bytes) -> None:
        assert self.handler is not None
        await self.handler(subject, payload)

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        raise NotImplementedError

    async def request_all(self, subject: str, payload: bytes, seconds: float) -> list[bytes]:
        raise NotImplementedError

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", flow: FlowControl | None = None
    ) -> None:
        assert self.handler is None, "one subscription serves everybody"
        self.handler = handler

    def when_flooded(self, handler: Callable[[str], Awaitable[None]]) -> None:
        raise NotImplementedError


async def test_a_settled_job_wakes_those_who_wait_for_its_workload() -> None:
    """Everybody who listens to the workload is woken, and nobody else."""
    bus = OneSubscription()
    feed = SettledFeed(bus)
    await feed.open()
    with feed.listening("a") as one, feed.listening("a") as two, feed.listening("b") as other:
        await bus.publish(subjects.settled("a"), b"")
        assert one.is_set()
        assert two.is_set()
        assert not other.is_set()


async def test_nothing_is_kept_of_those_who_left() -> None:
    """A message about a workload that nobody listens to any more is passed over."""
    bus = OneSubscription()
    feed = SettledFeed(bus)
    await feed.open()
    with feed.listening("a") as event:
        pass
    await bus.publish(subjects.settled("a"), b"")
    assert not event.is_set()


async def test_the_close_wakes_everybody() -> None:
    """Nobody waits for a feed that is closed."""
    feed = SettledFeed(OneSubscription())
    await feed.open()
    with feed.listening("a") as event:
        feed.close()
        assert event.is_set()
        assert feed.closed
