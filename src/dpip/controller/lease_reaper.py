"""Takes jobs back from workers that have fallen silent, or hold on to them for too long."""

import math
from collections.abc import Iterable

from msgspec import Struct

from dpip.controller.attempts import Attempts
from dpip.controller.watch import Watch
from dpip.model.job import Lease
from dpip.ports.datastore import Jobs
from dpip.wire.messages import Running


class _Term(Struct):
    """Until when a lease is good: its deadline, which moves, and its end, which does not.

    ``listed``: whether a heartbeat of its worker has listed it, so that it surely got there.
    """

    deadline: float
    end: float
    listed: bool = False


class LeaseReaper:
    """Keeps a deadline for every lease that is out, and the end of its longest life.

    Both live here, on the controller's watch, and not in SQL: neither a step of the wall clock nor
    an outage of the message-passing server shortens one. A lease that is seen for the first time,
    after a restart too, has a full term and its whole life before it.
    """

    def __init__(
        self,
        jobs: Jobs,
        attempts: Attempts,
        watch: Watch,
        *,
        term_seconds: float,
        longest_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._attempts = attempts
        self._watch = watch
        self._term_seconds = term_seconds
        self._longest_seconds = longest_seconds
        self._held_too_long = (
            f"The worker had no result within {longest_seconds:g} s, the longest that a lease may "
            "last."
        )
        self._terms: dict[Lease, _Term] = {}
        self._heard_at: dict[str, float] = {}
        self._said_done: set[Lease] = set()

    def extend(self, worker: str, running: Iterable[Running]) -> None:
        """Give a new deadline to the leases of ``worker`` on the attempts it has in hand."""
        now = self._heard_at[worker] = self._watch.seconds()
        for attempt in running:
            lease = Lease(job_id=attempt.job_id, attempt=attempt.attempt, worker=worker)
            if term := self._terms.get(lease):
                term.deadline = now + self._term_seconds
                term.listed = True

    def said_done(self, lease: Lease) -> None:
        """The worker says that the result is handed in, which has ended the lease if it is true."""
        self._said_done.add(lease)

    async def reap(self) -> None:
        """End every lease whose deadline has passed, or whose life has been the longest.

        One that has not reached its worker, which is there and never listed it, costs nothing. One
        that is said to be done, and is out still, is held against its worker.
        """
        now = self._watch.seconds()
        # Only what was said before the leases are read: a result may come in meanwhile.
        said_done, self._said_done = self._said_done, set()
        out = await self._jobs.leases()
        self._terms = {lease: self._terms.get(lease) or self._new_term(now) for lease in out}
        for lease, term in list(self._terms.items()):
            if lease in said_done:
                await self._attempts.disbelieve(lease)
            elif term.deadline <= now and not term.listed and self._is_heard(lease.worker, now):
                await self._attempts.give_back(lease)
            elif term.deadline <= now:
                await self._attempts.lose(lease)
            elif term.end <= now:
                await self._attempts.time_out(lease, self._held_too_long)

    def _is_heard(self, worker: str, now: float) -> bool:
        return now - self._heard_at.get(worker, -math.inf) < self._term_seconds / 2

    def _new_term(self, now: float) -> _Term:
        return _Term(deadline=now + self._term_seconds, end=now + self._longest_seconds)
