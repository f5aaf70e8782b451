"""The bus within one process, which delivers at once."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog

from dpip.errors import NoResponder
from dpip.ports.bus import FlowControl, Handler

log = structlog.get_logger()


class VirtualBus:
    """Keeps the promises of ``dpip.ports.bus.Bus``, without a server that could be away.

    A request takes no virtual time beyond that of its handler.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[str, list[_Subscription]] = defaultdict(list)

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send ``payload`` to the present subscribers."""
        self.deliver(subject, payload)

    def deliver(self, subject: str, payload: bytes) -> None:
        """Put ``payload`` into the hands of the subscribers, one of each queue."""
        served = set()
        for subscription in self._subscribers(subject):
            if subscription.queue and subscription.queue in served:
                continue
            served.add(subscription.queue)
            subscription.waiting.put_nowait((subject, payload))

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:  # noqa: ARG002
        """Return the answer of the first subscriber that gives one."""
        for subscription in self._subscribers(subject):
            answer = await subscription.handler(subject, payload)
            if answer is not None:
                return answer
        raise NoResponder(subject=subject)

    async def request_all(self, subject: str, payload: bytes, seconds: float) -> list[bytes]:
        """Return all answers, after ``seconds``."""
        answers = [await each.handler(subject, payload) for each in self._subscribers(subject)]
        await asyncio.sleep(seconds)
        return [answer for answer in answers if answer is not None]

    async def subscribe(
        self,
        subject: str,
        handler: Handler,
        queue: str = "",
        flow: FlowControl | None = None,  # noqa: ARG002 # Nobody floods here.
    ) -> None:
        """Call ``handler`` for each message on ``subject``, one at a time and in order."""
        self._subscriptions[_address(subject)].append(_Subscription(handler, queue))

    def when_flooded(self, handler: Callable[[str], Awaitable[None]]) -> None:
        """Nobody does here."""

    def unsubscribe(self, subject: str) -> None:
        """Nobody hears ``subject`` any more."""
        for subscription in self._subscriptions.pop(_address(subject), []):
            subscription.task.cancel()

    async def close(self) -> None:
        """Nobody hears anything any more."""
        tasks = [each.task for every in self._subscriptions.values() for each in every]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._subscriptions.clear()

    def _subscribers(self, subject: str) -> "list[_Subscription]":
        return [
            *self._subscriptions.get(subject, ()),
            *self._subscriptions.get(subject.split(".", 3)[2], ()),
        ]


class _Subscription:
    def __init__(self, handler: Handler, queue: str) -> None:
        self.handler = handler
        self.queue = queue
        self.waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.task = asyncio.create_task(self._handle_in_order())

    async def _handle_in_order(self) -> None:
        while True:
            subject, payload = await self.waiting.get()
            try:
                await self.handler(subject, payload)
            except Exception:
                log.exception("message not handled", subject=subject)


def _address(subject: str) -> str:
    """What a subscription is found by: a whole subject or, of one with wildcards, its kind.

    ``dpip.v1.heartbeat.*.*`` is that of all heartbeats: no wildcard of DPIP says less.
    """
    return subject.split(".")[2] if "*" in subject else subject
