"""The world around the scheduler: workers, users, and a controller's work on both."""

import asyncio
import math
import random
from array import array
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from itertools import islice

import structlog

from dpip.model.job import Failure, FailureCode, JobState, Lease
from dpip.model.join_token import JoinToken
from dpip.model.worker import Worker, WorkerState
from dpip.simulation.bounds import TERM_SECONDS
from dpip.simulation.bulk_sql import Result
from dpip.simulation.scenario import Life
from dpip.simulation.simulated_worker import PREFETCH, Ended, Occupancy, SimulatedWorker
from dpip.simulation.surroundings import Surroundings
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import Accepted, MoreJobs, Outcome, OutcomeKind, RunBatch

log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
_JOIN_TOKEN = "simulation"  # noqa: S105  # nosec B105 # its id
_HAND_OVER_SECONDS = 0.005
"""Results that end within this time are committed together, as uploads are."""


class World:
    """Lets the scenario happen, and keeps what became of it.

    ``started`` and ``ended`` are times by job, of the attempt that brought the result;
    ``occupancies`` are by machine. If attempts are to be kept, ``runs`` are all that ran to their
    end, and ``broken_off`` those that did not, each with the time at which its worker died.
    """

    def __init__(
        self,
        around: Surroundings,
        *,
        keep_runs: bool = False,
        reserve: Iterable[int] = (),
        placements: int | None = None,
    ) -> None:
        """Take what is around it, and whether to keep all attempts.

        From the ``reserve`` comes a job for each one that ends. After so many ``placements``
        nothing more is of interest.
        """
        self._scenario = scenario = around.scenario
        self._datastore = around.datastore
        self._bulk = around.bulk
        self._bus = around.bus
        self._clock = around.clock
        self._agenda = agenda = around.agenda
        self._keep_runs = keep_runs
        self._reserve = iter(reserve)
        self._most_placements = math.inf if placements is None else placements
        self.occupancies: dict[str, Occupancy] = defaultdict(Occupancy)
        self.workers = [
            SimulatedWorker(
                plan, self.occupancies[plan.machine.name], scenario.jobs, agenda, self._on_end
            )
            for plan in scenario.workers
        ]
        self._chance = random.Random(scenario.seed)  # noqa: S311  # nosec B311 # no secret
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[Ended] = []
        self._left = len(scenario.jobs)
        self.over = asyncio.Event()
        self.started = array("d", bytes(8 * len(scenario.jobs)))
        self.ended = array("d", bytes(8 * len(scenario.jobs)))
        self.runs: list[Ended] = []
        self.broken_off: list[tuple[Ended, float]] = []
        self.failed = 0
        self.deaths = 0
        self.placements = 0
        self.lost_attempts = 0
        self.late_results = 0

    async def join(self) -> None:
        """Have the workers join; nothing happens yet."""
        await self._datastore.add_join_token(
            JoinToken(id=_JOIN_TOKEN, name="simulation", secret_hash="", created_at=0)  # nosec B106
        )
        await self._bus.subscribe(subjects.ALL_SETTLED, self._on_given_up)
        await asyncio.gather(*(self._join(worker, worker.plan.lives) for worker in self.workers))

    def begin(self) -> None:
        """From now on things happen."""
        for worker in self.workers:
            self._live(worker, worker.plan.lives)
        for job, arrival in enumerate(self._scenario.jobs.arrival):
            if arrival:
                self._agenda.at(arrival, self._arrive, job)

    async def end(self) -> None:
        """Let nothing more happen."""
        self._agenda.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, worker: SimulatedWorker, lives: tuple[Life, ...]) -> None:
        worker.begin(f"{len(lives)}")
        plan = worker.plan
        now = self._clock.now()
        await self._datastore.add_worker(
            Worker(
                name=plan.name,
                instance=worker.instance,
                tags=(),
                slots=plan.slots,
                prefetch=PREFETCH,
                state=WorkerState.ALIVE,
                resources=worker.heartbeat().resources,
                running=0,
                joined_at=now,
                last_seen=now,
                join_token=_JOIN_TOKEN,
            )
        )

        async def take(subject: str, payload: bytes) -> bytes:
            with self._agenda.own:
                batch = decode(payload, RunBatch, subject)
                self.placements += len(batch.runs)
                if self.placements >= self._most_placements:
                    self.over.set()
                return encode(Accepted(attempts=worker.take(batch.runs)))

        await self._bus.subscribe(subjects.run(plan.name, worker.instance), take)

    def _live(self, worker: SimulatedWorker, lives: tuple[Life, ...]) -> None:
        self._beat(worker, worker.instance, HEARTBEAT_SECONDS * self._chance.random())
        self._agenda.at(lives[0].ends, self._die, worker, lives)

    def _beat(
        self, worker: SimulatedWorker, instance: str, pause: float = HEARTBEAT_SECONDS
    ) -> None:
        if worker.instance != instance:
            return
        subject = subjects.heartbeat(worker.plan.name, instance)
        self._bus.deliver(subject, encode(worker.heartbeat()))
        self._agenda.after(pause, self._beat, worker, instance)

    def _die(self, worker: SimulatedWorker, lives: tuple[Life, ...]) -> None:
        self.deaths += 1
        if self._keep_runs:
            self.broken_off += [(run, self._agenda.now) for run in worker.at_work.values()]
        self._bus.unsubscribe(subjects.run(worker.plan.name, worker.instance))
        self._do(self._be_away(worker, worker.die(), lives[1:]))

    async def _be_away(
        self, worker: SimulatedWorker, lost: list[Lease], lives: tuple[Life, ...]
    ) -> None:
        """End the leases when the worker is given up for lost, or is there again."""
        away = lives[0].begins - self._agenda.now
        await asyncio.sleep(min(away, TERM_SECONDS))
        failure = Failure(code=FailureCode.WORKER_LOST, reason="The worker was lost.")
        for lease in lost:
            state = await self._datastore.fail(
                lease, failure, jitter=self._chance.random(), now=self._clock.now()
            )
            self.lost_attempts += state is not None
            if state is JobState.FAILED:
                self._count_failed()
            self._bus.deliver(subjects.JOBS_READY, b"")
        await self._datastore.end_worker(worker.plan.name, WorkerState.LOST, self._clock.now())
        await asyncio.sleep(lives[0].begins - self._agenda.now)
        await self._join(worker, lives)
        self._live(worker, lives)

    def _arrive(self, job: int) -> None:
        self._do(self._upload(job))

    async def _upload(self, job: int) -> None:
        async with self._datastore.turn():
            with self._agenda.own:
                self._add_jobs([job])

    def _add_jobs(self, jobs: list[int]) -> None:
        self._bulk.add_jobs(jobs)
        for job in jobs:
            workload = self._scenario.workloads[self._scenario.jobs.workload[job]]
            self._bus.deliver(subjects.more_jobs(workload.id), encode(MoreJobs(count=1)))

    def _on_end(self, ended: Ended) -> None:
        if not self._ended:
            self._agenda.after(_HAND_OVER_SECONDS, lambda: self._do(self._hand_over()))
        self._ended.append(ended)

    async def _hand_over(self) -> None:
        """Commit what has ended, then have each worker say so."""
        async with self._datastore.turn():
            with self._agenda.own:
                together, self._ended = self._ended, []
                accepted = self._bulk.complete(
                    [Result(ended.lease, ended.cost.milliseconds) for ended in together]
                )
                for ended, is_accepted in zip(together, accepted, strict=True):
                    self._tell(ended, is_accepted=is_accepted)
                self._settle(sum(accepted))
                self._add_jobs(list(islice(self._reserve, sum(accepted))))

    def _tell(self, ended: Ended, *, is_accepted: bool) -> None:
        lease, worker = ended.lease, ended.worker
        if is_accepted:
            self.started[int(lease.job_id)] = ended.started_at
            self.ended[int(lease.job_id)] = self._agenda.now
        else:
            self.late_results += 1
        if self._keep_runs:
            self.runs.append(ended)
        if not worker.hand_over(lease):  # It has died since.
            return
        outcome = Outcome(
            job_id=lease.job_id,
            attempt=lease.attempt,
            kind=OutcomeKind.DONE if is_accepted else OutcomeKind.RETURNED,
            cost=ended.cost,
        )
        self._bus.deliver(subjects.outcome(worker.plan.name, worker.instance), encode(outcome))

    async def _on_given_up(self, _subject: str, _payload: bytes) -> None:
        """The scheduler has failed a job that fits nowhere."""
        self._count_failed()

    def _count_failed(self) -> None:
        self.failed += 1
        self._settle(1)

    def _settle(self, count: int) -> None:
        self._left -= count
        if not self._left:
            self.over.set()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
