"""One round of placement: jobs in fair order to the workers that they fit.

Late binding: what does not fit anywhere now stays where it is. A job that fits nowhere because of
its memory is passed by smaller ones for a while; then the machine that comes closest is kept free
for it, so that it does not wait for ever (a reservation, as in backfilling: Lifka, The ANL/IBM SP
Scheduling System, 1995). So that small jobs do not wait for ever either, at most half of the
machines are kept, one at least.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct, field, structs

from dpip.errors import InvalidValue
from dpip.model.cost import Prediction
from dpip.model.job import Lease, PendingJob
from dpip.model.placement import Placement, Why
from dpip.model.requirements import GpuUse
from dpip.ports.clock import Clock
from dpip.scheduler.backlog import Backlog, Line
from dpip.scheduler.demand import Demand
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.node import Node, Promise
from dpip.scheduler.placement import Outlook, absence
from dpip.scheduler.prediction import CostModel

_MOST_MATCHES = 512
"""Of one round, so that a lease is not long in coming."""

_MOST_EXPRESS_OWNERS = 32
_PATIENCE_SECONDS = 1.0
_UNPREDICTABLE = Prediction(cpu_milliseconds=1000.0, memory=128 * 1024 * 1024)
_MIB = 1024 * 1024
_DIVIDED_BY = 2
"""A batch is at most this part of what a slot has left to do, so that all are done together
(guided self-scheduling: Polychronopoulos and Kuck, 1987)."""


class Match(Struct, frozen=True, kw_only=True):
    """A job, the worker that it goes to, and what it is promised there until it has a lease."""

    job: PendingJob
    node: Node
    promise: Promise
    placement: Placement


class Hopeless(Struct, frozen=True, kw_only=True):
    """A job that fits no worker there has been, and why."""

    job: PendingJob
    reason: str


class Matches(Struct, kw_only=True):
    """What came of a round; ``left_out``: another one may find more at once."""

    found: list[Match] = field(default_factory=list)
    hopeless: list[Hopeless] = field(default_factory=list)
    left_out: bool = False


class Matchmaker:
    """Matches what waits with who has room."""

    def __init__(
        self,
        backlog: Backlog,
        fleet: Fleet,
        costs: CostModel,
        clock: Clock,
        *,
        policy: str,
        batch_milliseconds: float,
        memory_limit: int,
    ) -> None:
        self._backlog = backlog
        self._fleet = fleet
        self.costs = costs
        self._clock = clock
        self._policy = policy
        self._batch_milliseconds = batch_milliseconds
        self._memory_limit = memory_limit
        self._passed_by_since: dict[str, float] = {}
        self._kept: dict[str, Node] = {}
        self._looked_at: set[str] = set()

    def demand(self, job: PendingJob, line: Line) -> Demand:
        """What ``job`` asks of a worker. It gets no more memory than a job may have."""
        demand = line.demands.get(job.id)
        if demand is None:
            predicted = self.predict(job, gpu=line.workload.requirements.gpu)
            demand = line.demands[job.id] = Demand(
                tags=line.tags,
                prefer_tags=line.prefer_tags,
                gpu=line.workload.requirements.gpu,
                memory=min(predicted.memory, self._memory_limit),
                gpu_memory=predicted.gpu_memory,
                milliseconds=predicted.cpu_milliseconds,
                failed_by=job.failed_by,
            )
        if self._may_be_express(line.workload.owner_id):
            demand = structs.replace(demand, express=True)
        return self._fleet.candidates.relent(demand, self._clock.monotonic())

    def predict(
        self, job: PendingJob, processor: str = "", *, gpu: GpuUse = GpuUse.NEVER
    ) -> Prediction:
        """What ``job`` will take on a worker of the class ``processor``."""
        uses_gpu = gpu is not GpuUse.NEVER
        try:
            return self.costs.predict(job.pipeline, job.header, job.size, processor, gpu=uses_gpu)
        except InvalidValue:  # Of a later version of DPIP, maybe: the worker is to say so.
            return _UNPREDICTABLE

    def outlook(self) -> Outlook:
        """What the round goes by."""
        # The last jobs go to whoever is free first, not to whoever could fetch ahead.
        return Outlook(now=self._clock.monotonic(), ahead=self._backlog.pending > self._fleet.slots)

    async def match(self) -> Matches:
        """Choose workers for as many jobs as find one now; what they get is promised to them."""
        matches = Matches()
        try:
            await self._match_in_turn(matches)
        except BaseException:
            self.withdraw(matches.found)
            raise
        return matches

    def withdraw(self, matches: Iterable[Match]) -> None:
        """Promise nothing more to those that have come to no lease."""
        for match in matches:
            if not match.promise.lease.attempt:
                self._fleet.ended(match.promise.lease)

    async def _match_in_turn(self, matches: Matches) -> None:
        self._backlog.begin_round()
        left = self._backlog.milliseconds / max(1, self._fleet.slots) / _DIVIDED_BY
        self._fleet.candidates.look_ahead(min(self._batch_milliseconds, left))
        outlook = self.outlook()
        express_owners = 0

        def is_open(line: Line) -> bool:
            wants = line.workload.requirements
            express = self._may_be_express(line.workload.owner_id)
            return self._fleet.candidates.may_take(line.tags, wants.gpu, express=express)

        while len(matches.found) < _MOST_MATCHES:
            of: Callable[[str], bool] | None = None
            if not self._fleet.candidates.with_room:
                of = self._may_be_express
                express_owners += 1
                if express_owners > _MOST_EXPRESS_OWNERS:
                    break
            turn = await self._backlog.first(now=self._clock.now(), is_open=is_open, of=of)
            if turn is None:
                break
            self._match_one(*turn, outlook, matches)
        if self._backlog.has_seen_all and self._fleet.candidates.with_room:
            self._keep_for_no_others()
        matches.left_out = self._backlog.is_cut_short or len(matches.found) >= _MOST_MATCHES

    def _may_be_express(self, owner_id: str) -> bool:
        return not self._fleet.has_in_hand(owner_id) and self._backlog.is_due(owner_id)

    def _match_one(self, line: Line, job: PendingJob, outlook: Outlook, matches: Matches) -> None:
        demand = self.demand(job, line)
        self._looked_at.add(job.id)
        if reason := self._hopelessness(demand):
            self._backlog.take(line, 0)
            matches.hopeless.append(Hopeless(job=job, reason=reason))
            return
        if demand.memory >= line.too_large and job.id not in self._kept:
            self._pass_over(line, job, demand, outlook)
            return
        node, runner_up = self._fleet.candidates.choose(demand, outlook, job.id)
        if node is not None:
            matches.found.append(self._bind(line, job, demand, node, runner_up))
        elif self._fits(outlook, job, structs.replace(demand, memory=0)):
            if not demand.failed_by:  # Where it may not go, another of that size may.
                line.too_large = min(line.too_large, demand.memory)
            self._pass_over(line, job, demand, outlook)
        elif demand.failed_by or self._fits(
            outlook, job, structs.replace(demand, memory=0, gpu_memory=0)
        ):
            self._backlog.pass_over(line)
        else:
            self._backlog.pass_over_workload(line)

    def _fits(self, outlook: Outlook, job: PendingJob, demand: Demand) -> bool:
        past_kept = structs.replace(outlook, past_kept=True)
        return self._fleet.candidates.choose(demand, past_kept, job.id)[0] is not None

    def _hopelessness(self, demand: Demand) -> str | None:
        most = self._fleet.most_memory(demand.tags, demand.gpu)
        if most is None:
            return None
        memory, gpu_memory = most
        if demand.memory > memory:
            return (
                f"The picture is predicted to take {demand.memory // _MIB} MiB of memory, and the "
                f"largest worker that there has been has {memory // _MIB} MiB altogether."
            )
        if demand.gpu is GpuUse.REQUIRED and demand.gpu_memory > gpu_memory:
            return (
                f"The picture is predicted to take {demand.gpu_memory // _MIB} MiB of GPU memory, "
                f"and the largest GPU that there has been has {gpu_memory // _MIB} MiB altogether."
            )
        return None

    def _bind(
        self, line: Line, job: PendingJob, demand: Demand, node: Node, runner_up: Node | None
    ) -> Match:
        predicted = self.predict(job, node.resources.processor, gpu=demand.gpu)
        with_room = self._fleet.candidates.with_room
        promise = Promise(
            lease=Lease(job_id=job.id, attempt=0, worker=node.name),
            milliseconds=predicted.cpu_milliseconds * node.slowness,
            memory=demand.memory,
            gpu_memory=demand.gpu_memory,
            since=self._clock.monotonic(),
            usual_milliseconds=demand.milliseconds,
            wait=node.milliseconds / node.slots,
            job=job,
            owner_id=line.workload.owner_id,
            express=demand.express and not node.has_idle_slot,
        )
        self._fleet.placed(promise)
        self._backlog.take(line, predicted.cpu_milliseconds)
        self._stop_keeping(job.id)
        why = Why(
            policy=self._policy,
            known=len(self._fleet),
            with_room=max(1, with_room),
            cpu_milliseconds=predicted.cpu_milliseconds,
            memory=demand.memory,
            placed_at=self._clock.now(),
            runner_up=runner_up.name if runner_up else None,
        )
        placement = Placement(job_id=job.id, worker=node.name, why=why)
        return Match(job=job, node=node, promise=promise, placement=placement)

    def _pass_over(self, line: Line, job: PendingJob, demand: Demand, outlook: Outlook) -> None:
        """Let others go first, and keep a machine free if that has been so for too long."""
        self._backlog.pass_over(line)
        since = self._passed_by_since.setdefault(job.id, outlook.now)
        if job.id in self._kept and not self._is_of_use(self._kept[job.id], demand, outlook):
            self._stop_keeping(job.id)
        if job.id in self._kept or outlook.now - since < _PATIENCE_SECONDS:
            return
        if len(self._kept) >= max(1, self._fleet.machines // 2):
            return
        node = self._fleet.candidates.free_soonest_for(demand, outlook)
        if node is not None:
            node.machine.kept_for = job.id
            self._kept[job.id] = node

    def _is_of_use(self, kept: Node, demand: Demand, outlook: Outlook) -> bool:
        """Whether the job can still expect to get there what it needs."""
        return (
            self._fleet.has(kept.speaker)
            and absence(kept, outlook.now) is None
            and kept.most_memory_free >= demand.memory
        )

    def _keep_for_no_others(self) -> None:
        """Keep nothing for jobs that have gone: all that there are have been looked at."""
        for job_id in self._passed_by_since.keys() - self._looked_at:
            self._stop_keeping(job_id)
        self._looked_at.clear()

    def _stop_keeping(self, job_id: str) -> None:
        self._passed_by_since.pop(job_id, None)
        if kept := self._kept.pop(job_id, None):
            kept.machine.kept_for = None
