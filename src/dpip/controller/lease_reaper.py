"""Takes jobs back from workers that have fallen silent."""

from collections.abc import Iterable

from dpip.controller.attempts import WORKER_LOST, Attempts
from dpip.model.job import Lease
from dpip.ports.clock import Clock
from dpip.ports.datastore import Jobs
from dpip.wire.messages import Running


class LeaseReaper:
    """Keeps a deadline for every lease that is out.

    Deadlines live here, on the monotonic clock, and not in SQL: no step of the wall clock can
    shorten or stretch one. A lease that is seen for the first time, after a restart too, has a
    full term.
    """

    def __init__(
        self, jobs: Jobs, attempts: Attempts, clock: Clock, *, term_seconds: float
    ) -> None:
        self._jobs = jobs
        self._attempts = attempts
        self._clock = clock
        self._term_seconds = term_seconds
        self._deadlines: dict[Lease, float] = {}

    def extend(self, worker: str, running: Iterable[Running]) -> None:
        """Give a new term to the leases of ``worker`` on the attempts it has in hand."""
        deadline = self._clock.monotonic() + self._term_seconds
        for attempt in running:
            lease = Lease(job_id=attempt.job_id, attempt=attempt.attempt, worker=worker)
            if lease in self._deadlines:
                self._deadlines[lease] = deadline

    async def reap(self) -> None:
        """End every lease whose deadline has passed."""
        now = self._clock.monotonic()
        out = await self._jobs.leases()
        self._deadlines = {
            lease: self._deadlines.get(lease, now + self._term_seconds) for lease in out
        }
        for lease, deadline in list(self._deadlines.items()):
            if deadline <= now:
                await self._attempts.fail(lease, WORKER_LOST)
