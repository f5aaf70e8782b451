"""Why a job waits, in words."""

from msgspec import structs

from dpip.model.job import PendingJob
from dpip.model.requirements import GpuUse
from dpip.ports.datastore import Jobs
from dpip.scheduler.backlog import Backlog, Line
from dpip.scheduler.demand import Demand
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.matchmaker import Matchmaker
from dpip.scheduler.node import Node
from dpip.scheduler.placement import (
    KEPT_FREE,
    NO_FREE_SLOT,
    Outlook,
    absence,
    infeasibility,
    unfitness,
)
from dpip.wire.messages import MOST_OBSTACLES, Obstacle, Waiting, WhyPending

_MIB = 1024 * 1024
_MOST_NAMES = 5


class WaitingRoom:
    """Explains what waits by the same rules that place it."""

    def __init__(self, jobs: Jobs, matchmaker: Matchmaker, backlog: Backlog, fleet: Fleet) -> None:
        self._jobs = jobs
        self._matchmaker = matchmaker
        self._backlog = backlog
        self._fleet = fleet

    async def explain(self, question: WhyPending) -> Waiting:
        """Why a pending job has not been placed yet."""
        before = await self._jobs.jobs_before(question.job_id)
        line = self._backlog.line(question.workload_id)
        if line is None:
            return Waiting(
                reason="The scheduler has not looked at it yet.",
                remedy="It does so within a second.",
                before=before,
                competing=self._backlog.pending,
                known=len(self._fleet),
            )
        outlook = self._matchmaker.outlook()
        failed_by = frozenset(question.failed_by)
        asked = structs.replace(self._demand(question.job_id, line), failed_by=failed_by)
        demand = self._fleet.candidates.relent(asked, outlook.now)
        obstacles = [
            Obstacle(worker=node.name, reason=reason)
            for node in self._fleet
            if (reason := infeasibility(node, demand, outlook, question.job_id))
        ]
        reason, remedy = self._verdict(demand, outlook, obstacles, before)
        return Waiting(
            reason=reason,
            remedy=remedy,
            before=before,
            competing=max(0, self._backlog.pending - line.pending),
            known=len(self._fleet),
            again_on=tuple(
                node.name for node in self._fleet if node.name in failed_by - demand.failed_by
            ),
            obstacles=tuple(obstacles[:MOST_OBSTACLES]),
        )

    def summary(self) -> str | None:
        """What keeps all workers from the workload that has waited longest; ``None``: nothing."""
        if not len(self._fleet):
            return "no worker has joined"
        outlook = self._matchmaker.outlook()
        demand = next((self._demand("", line) for line in self._backlog), Demand())
        held_up: dict[str, list[str]] = {}
        for node in self._fleet:
            reason = infeasibility(node, demand, outlook)
            if reason is None:
                return None
            held_up.setdefault(reason, []).append(node.name)
        return "; ".join(f"{_named(names)} {reason}" for reason, names in held_up.items())

    def _demand(self, job_id: str, line: Line) -> Demand:
        """Of the job or, if it is far behind, of the first one of its workload."""
        window: list[PendingJob] = line.window
        job = next((each for each in window if each.id == job_id), window[0] if window else None)
        if job is not None:
            return self._matchmaker.demand(job, line)
        return Demand(
            tags=line.tags, prefer_tags=line.prefer_tags, gpu=line.workload.requirements.gpu
        )

    def _verdict(
        self, demand: Demand, outlook: Outlook, obstacles: list[Obstacle], before: int
    ) -> tuple[str, str]:
        nodes = [node for node in self._fleet if node.name not in demand.failed_by]
        if not nodes:
            return "No worker has joined.", "Start one with dpip worker."
        if {node.name for node in nodes} - {each.worker for each in obstacles}:
            return _its_turn_comes(before)
        fit = [node for node in nodes if unfitness(node, demand) is None]
        if not fit:
            return self._unfit(demand, nodes)
        there = [node for node in fit if absence(node, outlook.now) is None]
        if not there:
            could = _named([node.name for node in fit])
            return (
                f"None of the workers that could run it ({could}) takes jobs now.",
                "It goes on when one of them does, or another one like them joins.",
            )
        names = {node.name for node in there}
        reasons = {each.reason for each in obstacles if each.worker in names}
        if reasons == {NO_FREE_SLOT}:
            return _all_are_busy(len(there), before)
        if reasons <= {NO_FREE_SLOT, KEPT_FREE}:
            return (
                "Where a slot is free, the machine is kept free for a larger job, which has waited "
                "for longer.",
                "It goes on when that job has been placed, or a slot is free elsewhere.",
            )
        if demand.gpu_memory and all(node.gpu_memory_free < demand.gpu_memory for node in there):
            return (
                f"It is predicted to take {demand.gpu_memory // _MIB} MiB of GPU memory, and no "
                "worker that could run it has that to promise now.",
                "It goes on when jobs or other programs there have ended, or another worker with a "
                "GPU joins.",
            )
        return (
            f"It is predicted to take {demand.memory // _MIB} MiB of memory, and no worker that "
            "could run it has that to promise now.",
            "It goes on when jobs there have ended: a machine is kept free for it before long.",
        )

    def _unfit(self, demand: Demand, nodes: list[Node]) -> tuple[str, str]:
        carried = frozenset().union(*(node.tags for node in nodes))
        if missing := demand.tags - carried:
            tags = ", ".join(sorted(missing))
            return (
                f"No worker carries what its workload requires: {tags}.",
                f"Start a worker with --tags {','.join(sorted(demand.tags))}, or create the "
                "workload without.",
            )
        if demand.gpu is GpuUse.REQUIRED:
            return (
                "No worker that carries its tags has a GPU, which its workload requires.",
                "Start a worker where there is one, or create the workload with gpu=preferred.",
            )
        if any(demand.tags <= node.tags for node in nodes):
            return (
                f"It is predicted to take {demand.memory // _MIB} MiB of memory, more than any "
                "worker here has altogether that could run it.",
                "One that has left had more: it goes on when that one is back.",
            )
        return (
            "No worker carries all that its workload requires.",
            "Start one that does, or ask for less.",
        )


def _its_turn_comes(before: int) -> tuple[str, str]:
    if before:
        return f"{_jobs(before)} of its workload go first.", "It goes on by itself."
    return "It is about to be placed.", "It goes on by itself, within a second."


def _all_are_busy(workers: int, before: int) -> tuple[str, str]:
    busy = (
        "The worker that can run it is busy"
        if workers == 1
        else f"All {workers} workers that can run it are busy"
    )
    first = f", and {_jobs(before)} of its workload go first" if before else ""
    return (
        f"{busy}{first}.",
        "It goes on when a slot is free and its turn has come: more workers, or a higher priority "
        "or weight of its workload, make that sooner.",
    )


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _named(names: list[str]) -> str:
    first = ", ".join(sorted(names)[:_MOST_NAMES])
    return f"{first} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else first
