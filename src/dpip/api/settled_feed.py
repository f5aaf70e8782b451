"""Wakes requests that wait for jobs of a workload to settle."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from dpip.ports.bus import Bus
from dpip.wire import subjects


class SettledFeed:
    """One subscription for the whole process, shared out to the waiting requests.

    A wake-up is a hint, and hints can be lost: the datastore has the truth.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closed = False

    async def open(self) -> None:
        """Begin to listen."""
        await self._bus.subscribe(subjects.ALL_SETTLED, self._settled)

    def close(self) -> None:
        """Wake everybody up, for there is nothing more to wait for."""
        self.closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    @contextmanager
    def listening(self, workload_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever a job of the workload settles, and at the close."""
        event = asyncio.Event()
        self._waiting[workload_id].add(event)
        try:
            yield event
        finally:
            self._waiting[workload_id].discard(event)
            if not self._waiting[workload_id]:
                del self._waiting[workload_id]

    async def _settled(self, subject: str, payload: bytes) -> None:  # noqa: ARG002
        workload_id = subject.rpartition(".")[2]
        for event in self._waiting.get(workload_id, ()):
            event.set()
