"""The jobs that wait, in the order in which it is their turn.

Users share by weight, and a user's workloads share by weight what is the user's: both by the time
that jobs are predicted to take. Among the workloads of one user those that would miss their
deadline go first, by deadline, and then those of higher priority. Of a workload, the jobs that have
waited longest go first. Of all that, a window is held in memory.
"""

import math
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from dpip.model.job import PendingJob
from dpip.model.workload import WaitingWorkload
from dpip.ports.datastore import Jobs
from dpip.scheduler.demand import Demand
from dpip.scheduler.fair_queue import FairQueue

_WINDOW = 512
_MOST_PASSED_BY = 64
"""Jobs of a workload that others go before in a round, so that a round is short."""

_MOST_PASSES = 8000
"""Users and workloads that are passed over in a round."""

_LOOK_AGAIN_SECONDS, _OLD_SECONDS = 0.5, 2.0

_SAFETY = 1.5
"""A deadline is in danger when what is left is predicted to take as much of the time as this."""

_FIRST_GUESS_MILLISECONDS = 50.0

Level = tuple[int, float]
"""Workloads of the least level go first."""

_USUAL: Level = (1, 0)


class Line(Struct, kw_only=True, eq=False):
    """The jobs of one workload that wait.

    ``pending`` is their number, ``window`` the first of them, and ``demands`` what those of them
    ask for that have been looked at. ``milliseconds`` is what one is predicted to take on average.
    ``is_read``: none behind the window are due; ``is_old``: some may belong before it. In
    ``round``, the jobs before ``at`` have been passed over, ``taken`` have been placed, and those
    of ``too_large`` bytes of memory or more fit nowhere.
    """

    workload: WaitingWorkload
    tags: frozenset[str]
    prefer_tags: frozenset[str]
    pending: int
    level: Level
    window: list[PendingJob] = field(default_factory=list)
    demands: dict[str, Demand] = field(default_factory=dict)
    milliseconds: float = _FIRST_GUESS_MILLISECONDS
    round: int = 0
    at: int = 0
    taken: int = 0
    too_large: float = math.inf
    is_read: bool = False
    is_old: bool = False
    read_at: float = 0.0

    def is_to_be_read(self, now: float) -> bool:
        """Whether jobs may be due that belong behind the window, or before it."""
        age = abs(now - self.read_at)
        # What waits for its next attempt has been uploaded before others, and is due some time.
        if self.is_old or age > _OLD_SECONDS:
            return True
        if self.at < len(self.window):
            return False
        return not self.is_read or (self.pending > len(self.window) and age > _LOOK_AGAIN_SECONDS)


class Backlog:
    """What waits, as it was read last, less what has been placed since."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lines: dict[str, Line] = {}
        self._owners: FairQueue[str] = FairQueue()
        self._workloads: dict[str, dict[Level, FairQueue[str]]] = {}
        self._passed_over: list[FairQueue[str]] = []
        self._passes = 0
        self._round = 0
        self.has_seen_all = True
        """Whether nothing is left that could be looked at in the round."""
        self.is_cut_short = False
        """Whether the round has left jobs out that may find a worker in the next one."""
        self.pending = 0
        """How many jobs wait."""
        self.milliseconds = 0.0
        """What all of them are predicted to take."""

    def __len__(self) -> int:
        """How many workloads wait."""
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def line(self, workload_id: str) -> Line | None:
        """The jobs that wait of a workload."""
        return self._lines.get(workload_id)

    async def refresh(self, *, now: float, slots: int) -> None:
        """Read which workloads wait; ``slots`` workers' slots work on them."""
        waiting = {workload.id: workload for workload in await self._jobs.waiting_workloads()}
        for gone in self._lines.keys() - waiting.keys():
            self._remove(self._lines[gone])
        for workload in waiting.values():
            self._put(workload, now, slots)
        self._count()

    async def look_at(self, workload_id: str, *, now: float, slots: int) -> None:
        """Read one workload that was not known to wait."""
        if workload := await self._jobs.waiting_workload(workload_id):
            self._put(workload, now, slots)
            self._count()

    def grow(self, workload_id: str, count: int) -> bool:
        """There are ``count`` more jobs of a workload; whether the workload is known to wait."""
        line = self._lines.get(workload_id)
        if line is None:
            return False
        line.pending += count
        line.is_read = False
        self.pending += count
        self.milliseconds += count * line.milliseconds
        return True

    def is_due(self, owner_id: str) -> bool:
        """Whether a user has got no more than their share."""
        return self._owners.is_due(owner_id)

    def begin_round(self) -> None:
        """All workloads have their turn again, once all have had it."""
        if self.has_seen_all:
            self._owners.resume()
            for queue in self._passed_over:
                queue.resume()
            self._passed_over.clear()
        self._round += 1
        self._passes = 0
        self.has_seen_all = self.is_cut_short = False

    async def first(
        self,
        *,
        now: float,
        is_open: Callable[[Line], bool],
        of: Callable[[str], bool] | None = None,
    ) -> tuple[Line, PendingJob] | None:
        """The job whose turn it is, of the owners that ``of`` is true of; ``None``: there is none.

        Workloads that ``is_open`` is not true of are passed over unread. The job has its turn until
        it is taken or passed over. After many that were passed over there is none either, so that a
        round is short; the next one goes on there.
        """
        while self._passes < _MOST_PASSES:
            owner = self._owners.first()
            if owner is None:
                self.has_seen_all = True
                return None
            line = None if of and not of(owner) else self._first_line(owner)
            if line is None:
                self._passes += 1
                self._owners.pass_over()
                continue
            if not is_open(line):
                self.pass_over_workload(line)
                continue
            if line.round != self._round:
                line.round, line.at, line.taken, line.too_large = self._round, 0, 0, math.inf
            if line.is_to_be_read(now):
                if line.taken:  # What has been taken is not leased yet, and would be read again.
                    self.is_cut_short = True
                else:
                    await self._read(line, now)
            if line.at < len(line.window):
                return line, line.window[line.at]
            self.pass_over_workload(line)
        return None

    def take(self, line: Line, milliseconds: float) -> None:
        """The job whose turn it is has been placed; it is charged to its owner."""
        line.demands.pop(line.window.pop(line.at).id, None)
        line.taken += 1
        line.pending -= 1
        self.pending -= 1
        self.milliseconds = max(0.0, self.milliseconds - milliseconds)
        line.milliseconds += (milliseconds - line.milliseconds) / 16
        self._workloads[line.workload.owner_id][line.level].charge(line.workload.id, milliseconds)
        self._owners.charge(line.workload.owner_id, milliseconds)
        if line.pending <= 0:
            self._remove(line)

    def pass_over(self, line: Line) -> None:
        """The job whose turn it is does not fit anywhere now; one of the next few may."""
        line.at += 1
        if line.at >= _MOST_PASSED_BY:
            self.pass_over_workload(line)

    def pass_over_workload(self, line: Line) -> None:
        """No job of the workload fits anywhere now."""
        self._passes += 1
        queue = self._workloads[line.workload.owner_id][line.level]
        queue.pass_over()
        self._passed_over.append(queue)

    def _first_line(self, owner: str) -> Line | None:
        levels = self._workloads[owner]
        for level in sorted(levels) if len(levels) > 1 else levels:
            workload_id = levels[level].first()
            if workload_id is not None:
                return self._lines[workload_id]
        return None

    async def _read(self, line: Line, now: float) -> None:
        # What has been passed over is read again: it is first, and may have gone.
        limit = len(line.window) + _WINDOW
        line.window = await self._jobs.pending_jobs(line.workload.id, now=now, limit=limit)
        line.is_read, line.is_old, line.read_at = len(line.window) < limit, False, now
        line.demands.clear()

    def _put(self, workload: WaitingWorkload, now: float, slots: int) -> None:
        line = self._lines.get(workload.id)
        if line is None:
            line = self._lines[workload.id] = _line(workload)
        line.workload = workload
        # Jobs that have come back have waited longest, and belong before those in the window.
        line.is_old = line.pending != workload.counts.pending
        line.pending = workload.counts.pending
        line.is_read = False
        level = _level(line, now, slots)
        if level != line.level:
            self._leave_level(line)
        line.level = level
        levels = self._workloads.setdefault(workload.owner_id, {})
        levels.setdefault(level, FairQueue()).put(workload.id, workload.requirements.weight)
        self._owners.put(workload.owner_id, workload.owner_weight)

    def _count(self) -> None:
        self.pending = sum(line.pending for line in self._lines.values())
        self.milliseconds = sum(line.pending * line.milliseconds for line in self._lines.values())

    def _remove(self, line: Line) -> None:
        owner = line.workload.owner_id
        del self._lines[line.workload.id]
        self._leave_level(line)
        if not self._workloads[owner]:
            del self._workloads[owner]
            self._owners.remove(owner)

    def _leave_level(self, line: Line) -> None:
        levels = self._workloads.get(line.workload.owner_id, {})
        if line.level in levels:
            levels[line.level].remove(line.workload.id)
            if not len(levels[line.level]):
                del levels[line.level]


def _line(workload: WaitingWorkload) -> Line:
    wants = workload.requirements
    return Line(
        workload=workload,
        tags=frozenset(wants.tags),
        prefer_tags=frozenset(wants.prefer_tags),
        pending=0,
        level=_USUAL,
    )


def _level(line: Line, now: float, slots: int) -> Level:
    wants = line.workload.requirements
    if wants.deadline is not None:
        left = line.pending * line.milliseconds / 1000 / max(1, slots)
        if now + _SAFETY * left >= wants.deadline:
            return 0, wants.deadline
    return 1, -wants.priority
