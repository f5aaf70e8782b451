"""Hints on the bus about what is already true in the datastore."""

import asyncio
from collections import Counter

import structlog

from dpip.errors import BusUnavailable
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import encode
from dpip.wire.messages import MoreJobs

log = structlog.get_logger()


class Hints:
    """Says at once what has changed; without a bus its listeners find out by themselves, later.

    What becomes true in one turn of the event loop is said once.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._more: Counter[str] = Counter()
        self._subjects: set[str] = set()
        self._saying: asyncio.Task[None] | None = None

    def one_more_job(self, workload_id: str) -> None:
        """The workload has one more pending job."""
        self._more[workload_id] += 1
        self._say_soon()

    def jobs_ready(self) -> None:
        """There may be pending jobs, of whichever workload."""
        self._subjects.add(subjects.JOBS_READY)
        self._say_soon()

    def settled(self, workload_id: str) -> None:
        """A job of the workload has settled."""
        self._subjects.add(subjects.settled(workload_id))
        self._say_soon()

    def _say_soon(self) -> None:
        if self._saying is None or self._saying.done():
            self._saying = asyncio.create_task(self._say(), name="say hints")

    async def _say(self) -> None:
        while self._more or self._subjects:
            more, self._more = self._more, Counter()
            others, self._subjects = self._subjects, set()
            for workload_id, count in more.items():
                await self._publish(subjects.more_jobs(workload_id), encode(MoreJobs(count=count)))
            for subject in others:
                await self._publish(subject, b"")

    async def _publish(self, subject: str, payload: bytes) -> None:
        try:
            await self._bus.publish(subject, payload)
        except BusUnavailable as error:
            log.warning("hint not sent", subject=subject, reason=str(error))
        except Exception:  # Those after it are to be said all the same.
            log.exception("hint not sent", subject=subject)
