"""Stragglers: jobs that hold up the end of a workload.

One that takes far longer than predicted, or has longer to go where it is than it would take on a
worker that is idle by now, is run a second time elsewhere, and the first result wins (backup tasks:
Dean and Ghemawat, MapReduce, 2004; by the time that is left: Zaharia and others, Improving
MapReduce Performance in Heterogeneous Environments, 2008). Only where nothing else of the workload
waits, so that it is its end that is held up, and only for a share of its jobs, so that the cost is
bounded.
"""

import math
from collections import Counter

from msgspec import Struct

from dpip.errors import DpipError
from dpip.model.job import Lease
from dpip.model.placement import Placement, Why
from dpip.ports.clock import Clock
from dpip.ports.datastore import Workloads
from dpip.scheduler.backlog import Backlog
from dpip.scheduler.demand import Demand
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.node import Node, Promise
from dpip.scheduler.placement import Outlook

_LEAST_MILLISECONDS = 1000.0
"""Before that nothing is late, whatever was predicted, and a gain of less is none."""

_MUCH_SOONER = 2.0


class Backup(Struct, frozen=True, kw_only=True):
    """A second placement of a job that is late, and what is promised to it."""

    promise: Promise
    placement: Placement


class Stragglers:
    """Finds them, and who could run them a second time.

    A job is late after ``late_factor`` times what it was predicted to take, or when it would be
    done elsewhere in half of what it has left. At most ``share`` of the jobs of a workload are run
    twice, one at least; with 0, none are.
    """

    def __init__(
        self,
        workloads: Workloads,
        fleet: Fleet,
        backlog: Backlog,
        clock: Clock,
        *,
        policy: str,
        late_factor: float,
        share: float,
    ) -> None:
        self._workloads = workloads
        self._fleet = fleet
        self._backlog = backlog
        self._clock = clock
        self._policy = policy
        self._late_factor = late_factor
        self._share = share
        self._backups: Counter[str] = Counter()
        self._idle: list[Node] = []

    async def find(self) -> list[Backup]:
        """The jobs that are to be run a second time now; their workers are promised to them."""
        if not self._share:
            return []
        now = self._clock.monotonic()
        self._idle = [node for node in self._fleet if not node.in_hand]
        late = [promise for promise in self._fleet.in_hand() if self._is_late(promise, now)]
        at_work = {promise.job.workload_id for promise in self._fleet.in_hand() if promise.job}
        self._backups = Counter({each: self._backups[each] for each in at_work})
        backups = []
        for promise in sorted(late, key=lambda promise: promise.since):
            try:
                backup = await self._backup(promise, Outlook(now=now, ahead=False))
            except DpipError:  # The datastore is away; the next look finds the others.
                break
            if backup:
                backups.append(backup)
        return backups

    def _is_late(self, promise: Promise, now: float) -> bool:
        if promise.job is None or promise.has_backup:
            return False
        if self._backlog.line(promise.job.workload_id) is not None:
            return False
        took = (now - promise.since) * 1000
        due = promise.wait + promise.milliseconds
        if took > max(_LEAST_MILLISECONDS, self._late_factor * due):
            return True
        left = due - took
        return left > max(_LEAST_MILLISECONDS, _MUCH_SOONER * self._elsewhere(promise))

    def _elsewhere(self, promise: Promise) -> float:
        """Milliseconds that the job would take on the quickest idle worker that there is."""
        pace = min((node.pace for node in self._idle), default=math.inf)
        return promise.usual_milliseconds * pace

    async def _backup(self, late: Promise, outlook: Outlook) -> Backup | None:
        assert late.job  # noqa: S101  # nosec B101 # for the type checker
        workload = await self._workloads.workload(late.job.workload_id)
        if workload is None or workload.counts.pending:
            return None
        if self._backups[workload.id] >= max(1, self._share * workload.counts.total):
            return None
        wants = workload.requirements
        demand = Demand(
            tags=frozenset(wants.tags),
            gpu=wants.gpu,
            memory=late.memory,
            gpu_memory=late.gpu_memory,
            failed_by=late.job.failed_by,
        )
        node, _ = self._fleet.candidates.choose(
            demand, outlook, late.job.id, besides=late.lease.worker
        )
        if node is None:
            return None
        self._backups[workload.id] += 1
        late.has_backup = True
        why = Why(
            policy=self._policy,
            known=len(self._fleet),
            with_room=self._fleet.candidates.with_room,
            cpu_milliseconds=late.milliseconds,
            memory=late.memory,
            placed_at=self._clock.now(),
            backup=True,
        )
        promise = Promise(
            lease=Lease(job_id=late.job.id, attempt=0, worker=node.name),
            milliseconds=late.usual_milliseconds * node.pace,
            memory=late.memory,
            gpu_memory=late.gpu_memory,
            since=outlook.now,
            usual_milliseconds=late.usual_milliseconds,
            job=late.job,
            owner_id=late.owner_id,
            has_backup=True,
        )
        self._fleet.placed(promise)
        placement = Placement(job_id=late.job.id, worker=node.name, why=why)
        return Backup(promise=promise, placement=placement)
