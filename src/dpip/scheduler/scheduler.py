"""The loop that binds jobs to workers, as late as it can."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from msgspec import Struct

from dpip.chores import again_and_again, end
from dpip.errors import DpipError
from dpip.model.cost import Cost
from dpip.model.job import Failure, FailureCode, Lease, PendingJob
from dpip.model.placement import PlacedJob
from dpip.model.worker import AT_WORK
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.scheduler.backlog import Backlog
from dpip.scheduler.caller import LeasedRun, WorkerCaller
from dpip.scheduler.dispatch import Dispatch
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.matchmaker import Hopeless, Match, Matchmaker
from dpip.scheduler.node import Promise
from dpip.scheduler.policies import policy_named
from dpip.scheduler.prediction import CostModel
from dpip.scheduler.stragglers import Stragglers
from dpip.scheduler.waiting import WaitingRoom
from dpip.wire import flow, subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import Goodbye, Heartbeat, MoreJobs, Outcome, OutcomeKind, WhyPending
from dpip.wire.subjects import Speaker

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS = 0.5
_ALIGN_SECONDS = 2.0
_STRAGGLERS_SECONDS = 0.5
_KEEP_SECONDS = 5.0
_SAY_AGAIN_SECONDS = 60.0
_REST = 10
"""How many times as long as a look at all workloads that wait has taken there is no other."""

_MOST_FINISHED = 10_000


class SchedulerSettings(Struct, frozen=True, kw_only=True):
    """How the scheduler decides; ``memory_limit`` is that of a job, in bytes."""

    policy: str
    batch_milliseconds: float
    late_factor: float
    backup_share: float
    memory_limit: int
    silence_seconds: float


class Lead(Protocol):
    """Tells whether this scheduler leads."""

    @property
    def term(self) -> int | None:
        """The term in which it does; ``None``: it does not."""
        ...


class Scheduler:
    """Leases a job only when a worker that fits has room for it now, then calls that worker.

    It acts when something has happened: jobs are ready, a worker has room. Should it miss that,
    it looks by itself a moment later. While another one leads, it listens and does nothing else.
    """

    def __init__(
        self,
        datastore: Datastore,
        bus: Bus,
        clock: Clock,
        caller: WorkerCaller,
        leadership: Lead,
        settings: SchedulerSettings,
    ) -> None:
        self._datastore = datastore
        self._bus = bus
        self._clock = clock
        self._leadership = leadership
        self._fleet = Fleet(policy_named(settings.policy), silence_seconds=settings.silence_seconds)
        self._backlog = Backlog(datastore)
        self._matchmaker = Matchmaker(
            self._backlog,
            self._fleet,
            CostModel(),
            clock,
            policy=settings.policy,
            batch_milliseconds=settings.batch_milliseconds,
            memory_limit=settings.memory_limit,
        )
        self._stragglers = Stragglers(
            datastore,
            self._fleet,
            self._backlog,
            clock,
            policy=settings.policy,
            late_factor=settings.late_factor,
            share=settings.backup_share,
        )
        self._wake = asyncio.Event()
        self._dispatch = Dispatch(caller, datastore, self._fleet, clock, on_end=self._wake.set)
        self._waiting_room = WaitingRoom(datastore, self._matchmaker, self._backlog, self._fleet)
        self._one_at_a_time = asyncio.Lock()
        self._granted_lately: set[Lease] = set()
        self._ended_lately: set[Lease] = set()
        self._led_term: int | None = None
        self._is_stale = True
        self._refresh_at = -math.inf
        self._new_workloads: set[str] = set()
        self._finished: dict[Lease, tuple[Promise, Cost]] = {}
        self._placing: asyncio.Task[None] | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._stopping = False
        self._said_at = -math.inf

    async def start(self) -> None:
        """Begin to listen and, while leading, to place."""
        await self._bus.subscribe(subjects.HEARTBEATS, self._on_heartbeat, flow=flow.HEARTBEATS)
        await self._bus.subscribe(subjects.GOODBYES, self._on_goodbye, flow=flow.GOODBYES)
        await self._bus.subscribe(subjects.OUTCOMES, self._on_outcome, flow=flow.OUTCOMES)
        await self._bus.subscribe(subjects.JOBS_READY, self._on_jobs_ready)
        await self._bus.subscribe(subjects.MORE_JOBS, self._on_more_jobs)
        await self._bus.subscribe(subjects.WHY_PENDING, self._on_why_pending)
        self._placing = asyncio.create_task(self._place_when_woken(), name="place")
        self._chores = [
            asyncio.create_task(again_and_again(chore, every), name=chore.__name__)
            for chore, every in [
                (self.align, _ALIGN_SECONDS),
                (self.back_up_stragglers, _STRAGGLERS_SECONDS),
                (self.keep_costs, _KEEP_SECONDS),
            ]
        ]

    async def stop(self) -> None:
        """Place nothing more; calls under way are seen to their end."""
        # Not cancelled while it places: a lease just taken would reach no worker.
        self._stopping = True
        self._wake.set()
        if self._placing:
            await self._placing
        await end(*self._chores)
        await self._dispatch.stop()
        with contextlib.suppress(DpipError):
            await self.align()
            await self.keep_costs()

    async def _place_when_woken(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_AGAIN_SECONDS)
            if self._stopping:
                return
            self._is_stale |= not self._wake.is_set()
            self._wake.clear()
            try:
                await self.place()
            except DpipError as error:
                log.warning("nothing placed, will try again", reason=str(error))
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            except Exception:
                log.exception("nothing placed, will try again")
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def place(self) -> int:
        """One round: lease what finds a worker now, and call these workers; how many jobs."""
        term = self._leadership.term
        if term is None:
            self._led_term = None
            return 0
        if term != self._led_term:
            await self._take_over(term)
        self._fleet.forget_the_silent(self._clock.monotonic())
        await self._look_at_the_backlog()
        matches = await self._matchmaker.match()
        try:
            leased = await self._lease(matches.found, term)
        except BaseException:
            self._is_stale = True
            raise
        finally:
            self._matchmaker.withdraw(matches.found)  # Those that somebody else was faster with.
        self._dispatch.send(leased)
        await self._fail(matches.hopeless, term)
        if matches.left_out:
            self._wake.set()
        elif not leased:
            self._say_why()
        return len(leased)

    async def _look_at_the_backlog(self) -> None:
        now, slots = self._clock.now(), self._fleet.slots
        began = self._clock.monotonic()
        if self._is_stale and began >= self._refresh_at:
            self._is_stale = False
            self._new_workloads.clear()
            await self._backlog.refresh(now=now, slots=slots)
            ended = self._clock.monotonic()
            # Where very many workloads wait, most of the time is left for placing.
            self._refresh_at = ended + _REST * (ended - began)
        while self._new_workloads:
            await self._backlog.look_at(self._new_workloads.pop(), now=now, slots=slots)

    async def _take_over(self, term: int) -> None:
        """Begin to lead: what is known from before is what the datastore and the workers say."""
        self._matchmaker.costs = CostModel.restore(await self._datastore.cost_models())
        await self.align()
        self._is_stale = True
        self._led_term = term

    async def _lease(self, matches: Sequence[Match], term: int) -> list[LeasedRun]:
        if not matches:
            return []
        placements = [match.placement for match in matches]
        promises = {match.job.id: match.promise for match in matches}
        leases = await self._datastore.lease(placements, term=term)
        return [self._granted(promises[lease.job_id], lease) for lease in leases]

    def _granted(self, promise: Promise, lease: Lease) -> LeasedRun:
        self._granted_lately.add(lease)
        self._fleet.granted(promise, lease)
        assert promise.job  # noqa: S101  # nosec B101 # for the type checker
        return LeasedRun(job=promise.job, lease=lease, express=promise.express)

    async def _fail(self, hopeless: Iterable[Hopeless], term: int) -> None:
        jobs_of: dict[str, list[PendingJob]] = {}
        for each in hopeless:
            jobs_of.setdefault(each.reason, []).append(each.job)
        for reason, jobs in jobs_of.items():
            failure = Failure(code=FailureCode.DOES_NOT_FIT, reason=reason)
            await self._datastore.fail_pending(
                [job.id for job in jobs], failure, term=term, now=self._clock.now()
            )
            log.warning("jobs failed", jobs=len(jobs), code=failure.code, reason=reason)
            for workload_id in {job.workload_id for job in jobs}:
                with contextlib.suppress(DpipError):
                    await self._bus.publish(subjects.settled(workload_id), b"")

    def _say_why(self) -> None:
        if not self._backlog.pending or next(self._fleet.in_hand(), None):
            return
        if self._clock.monotonic() - self._said_at < _SAY_AGAIN_SECONDS:
            return
        if reason := self._waiting_room.summary():
            self._said_at = self._clock.monotonic()
            log.warning("jobs wait, and no worker can take one", reason=reason)

    # Chores

    async def back_up_stragglers(self) -> None:
        """Run jobs that take too long a second time."""
        term = self._leadership.term
        if term is None:
            return
        backups = await self._stragglers.find()
        try:
            for backup in backups:
                lease = await self._datastore.lease_again(backup.placement, term=term)
                if lease:
                    log.info("job run a second time", job=lease.job_id, worker=lease.worker)
                    self._dispatch.send([self._granted(backup.promise, lease)])
        finally:
            for backup in backups:
                if not backup.promise.lease.attempt:
                    self._fleet.ended(backup.promise.lease)

    async def keep_costs(self) -> None:
        """Keep what has been learned of costs."""
        if self._leadership.term is None:
            return
        if changed := self._matchmaker.costs.changed():
            await self._datastore.keep_cost_models(changed)

    async def align(self) -> None:
        """Make what is known of leases and workers equal to what the datastore knows."""
        async with self._one_at_a_time:
            await self._align()

    async def _align(self) -> None:
        # What begins or ends during the reading is newer than what is read.
        self._ended_lately.clear()
        self._granted_lately.clear()
        known = self._fleet.processes()
        finished_before, self._finished = self._finished, {}
        out = set(await self._datastore.leases())
        self._learn_from(finished_before, out)
        out = (out | self._granted_lately | self._dispatch.under_way) - self._ended_lately
        unknown = self._fleet.align(out, self._clock.monotonic())
        workers = await self._datastore.workers()
        self._fleet.heed(workers)
        # Only those known before the reading: who is heard while it goes on is newer.
        at_work = {Speaker(each.name, each.instance) for each in workers if each.state in AT_WORK}
        for process in known - at_work:
            self._fleet.gone(process)
        if unknown:
            placed = await self._datastore.placed_jobs({lease.job_id for lease in unknown})
            leases_of = Counter(each.lease.job_id for each in placed)
            for each in placed:
                twice = leases_of[each.lease.job_id] > 1
                self._fleet.learned(self._promise(each, has_backup=twice))

    def _promise(self, placed: PlacedJob, *, has_backup: bool) -> Promise:
        why = placed.why
        job = placed.job
        predicted = self._matchmaker.predict(job)
        return Promise(
            lease=placed.lease,
            milliseconds=why.cpu_milliseconds if why else predicted.cpu_milliseconds,
            memory=why.memory if why else predicted.memory,
            since=self._clock.monotonic(),
            usual_milliseconds=predicted.cpu_milliseconds,
            job=job,
            owner_id=placed.owner_id,
            has_backup=has_backup,
        )

    # What is heard

    async def _on_heartbeat(self, subject: str, payload: bytes) -> None:
        beat = decode(payload, Heartbeat, subject)
        speaker = subjects.speaker_in(subject)
        if self._fleet.has(speaker) or await self._is_registered(speaker):
            had_room = self._fleet.candidates.with_room
            self._fleet.heard(*speaker, beat, self._clock.monotonic())
            if self._fleet.candidates.with_room > had_room:
                self._wake.set()

    async def _on_goodbye(self, subject: str, payload: bytes) -> None:
        decode(payload, Goodbye, subject)
        self._fleet.gone(subjects.speaker_in(subject))

    async def _on_outcome(self, subject: str, payload: bytes) -> None:
        outcome = decode(payload, Outcome, subject)
        speaker = subjects.speaker_in(subject)
        if not self._fleet.has(speaker):
            return
        lease = Lease(job_id=outcome.job_id, attempt=outcome.attempt, worker=speaker.worker)
        self._ended_lately.add(lease)
        promise = self._fleet.ended(lease, self._clock.monotonic())
        match outcome.kind:
            case OutcomeKind.DONE:
                self._fleet.done(speaker)
            case OutcomeKind.FAILED:
                self._fleet.failed(speaker)
            case OutcomeKind.RETURNED if outcome.untouched:
                self._fleet.made_room(speaker, self._clock.monotonic())
            case OutcomeKind.RETURNED if promise is None or not promise.has_backup:
                # Of two who run the same job, one comes too late, and is not to blame.
                self._fleet.returned(speaker, self._clock.monotonic())
            case OutcomeKind.RETURNED:
                pass
        if promise and outcome.cost and outcome.kind is OutcomeKind.DONE:
            self._finished[lease] = promise, outcome.cost
            if len(self._finished) > _MOST_FINISHED:
                self._finished.pop(next(iter(self._finished)))
        self._wake.set()

    def _learn_from(
        self, finished: Mapping[Lease, tuple[Promise, Cost]], out: Collection[Lease]
    ) -> None:
        """Learn what jobs took, of those whose leases the datastore knows to be over.

        Who says that a job is done whose lease is still out has not handed in a result.
        """
        for lease, (promise, cost) in finished.items():
            node, job = self._fleet.node(lease.worker), promise.job
            if node is None or job is None:
                continue
            if lease in out:
                self._fleet.returned(node.speaker, self._clock.monotonic())
                continue
            self._fleet.took(promise, cost.milliseconds)
            self._matchmaker.costs.learn(
                job.pipeline, job.header, job.size, node.resources.processor, cost
            )

    async def _on_jobs_ready(self, _subject: str, _payload: bytes) -> None:
        self._is_stale = True
        self._wake.set()

    async def _on_more_jobs(self, subject: str, payload: bytes) -> None:
        # Of a workload that is known to wait, the number is all that has changed.
        workload_id = subject.rpartition(".")[2]
        if not self._backlog.grow(workload_id, decode(payload, MoreJobs, subject).count):
            self._new_workloads.add(workload_id)
        self._wake.set()

    async def _on_why_pending(self, subject: str, payload: bytes) -> bytes | None:
        if self._leadership.term is None:
            return None
        return encode(await self._waiting_room.explain(decode(payload, WhyPending, subject)))

    async def _is_registered(self, speaker: Speaker) -> bool:
        """Whether the controller has taken this process in, and not only let it say hello."""
        worker = await self._datastore.worker(speaker.worker)
        return (
            worker is not None and worker.instance == speaker.instance and worker.state in AT_WORK
        )
