"""Any interleaving of uploads, schedulers, second leases, late workers, ends and restarts."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from dpip.controller.datastore import SqlDatastore
from dpip.errors import Deposed, StaleAttempt
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.job import (
    MAX_FAILURES,
    Failure,
    FailureCode,
    JobState,
    Lease,
    RefusedResult,
)
from dpip.model.worker import MOST_REFUSED
from dpip.model.workload import JobCounts
from tests.contract.builders import (
    add_jobs,
    add_workload,
    build_filtered,
    build_original,
    build_placement,
    build_worker,
    build_workload,
)

T = TypeVar("T")

BROKEN = Failure(code=FailureCode.CRASHED, reason="It crashed.")
DOES_NOT_FIT = Failure(code=FailureCode.DOES_NOT_FIT, reason="It is too large.")
SCHEDULERS = st.sampled_from([0, 1])
WORKERS = st.sampled_from("aabc")
TERMS_AGO = st.sampled_from([0, 0, 0, 1])
"""When a scheduler has led last: in the present term, or in the one before."""
MOST_JOBS = 3
"""Few, so that each sees much."""


class Job:
    """What a job should be; ``leases`` are those that are held on it."""

    def __init__(self, original: Image) -> None:
        self.id = new_id()
        self.original = original
        self.state = JobState.PENDING
        self.attempt = 0
        self.failures = 0
        self.leases: list[Lease] = []
        self.result: str | None = None

    def lease(self, worker: str) -> Lease:
        self.attempt += 1
        self.state = JobState.LEASED
        self.leases.append(Lease(job_id=self.id, attempt=self.attempt, worker=worker))
        return self.leases[-1]

    def end(self, lease: Lease) -> None:
        """End a lease without a result: only the last one makes a difference to the job."""
        self.leases.remove(lease)
        if not self.leases:
            self.state = JobState.PENDING


class LifeOfAJob(RuleBasedStateMachine):
    """Drives two datastores on one database, and knows what they should say."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp())
        self.url = f"sqlite:///{self.directory / 'dpip.db'}"
        self.stores = [self.do(SqlDatastore.open(self.url)) for _ in range(2)]
        self.term = 0
        self.quarantined: set[str] = set()
        self.removed: dict[str, Job] = {}
        self.now = 1_800_000_000.0
        self.begin()

    def begin(self) -> None:
        """Have a new workload, without a job."""
        self.workload = build_workload()
        self.do(self.stores[0].add_workload(self.workload))
        self.jobs: dict[str, Job] = {}
        self.settled: list[str] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def decide(self, decision: Coroutine[Any, Any, T], terms_ago: int) -> T | None:
        """What a scheduler decides in its term; nothing if that is over."""
        if not terms_ago:
            return self.do(decision)
        with pytest.raises(Deposed):
            self.do(decision)
        return None

    def job(self, lease: Lease) -> Job:
        """The job that a lease was on, which may be removed."""
        return self.jobs.get(lease.job_id) or self.removed[lease.job_id]

    @initialize()
    def join(self) -> None:
        for worker in "abc":
            self.do(self.stores[0].add_worker(build_worker(worker)))

    @precondition(lambda self: len(self.jobs) < MOST_JOBS)
    @rule(store=SCHEDULERS)
    def upload(self, store: int) -> None:
        job = Job(build_original(self.workload))
        self.do(self.stores[store].add_original(job.original, job.id))
        self.jobs[job.id] = job

    @rule(seconds=st.sampled_from([1.0, 60.0, 3600.0, -3600.0]))
    def let_the_wall_clock_jump(self, seconds: float) -> None:
        self.now += seconds

    @rule(store=SCHEDULERS)
    def take_the_lead(self, store: int) -> None:
        taken = self.do(self.stores[store].take_lead("scheduler", "s", after_term=self.term))
        assert taken == self.term + 1
        self.term = taken

    @rule(target=leases, first=WORKERS, second=WORKERS, terms_ago=TERMS_AGO)
    def place(self, first: str, second: str, terms_ago: int) -> MultipleResults[Lease]:
        """Both schedulers look, then both lease: what the second saw is leased already."""
        seen = [self.look_for_pending_jobs(store) for store in self.stores]
        given = []
        for store, worker, job_ids in zip(self.stores, (first, second), seen, strict=True):
            placements = [build_placement(job_id, worker) for job_id in job_ids]
            if not placements:
                continue
            work = store.lease(placements, term=self.term - terms_ago)
            leases = self.decide(work, terms_ago) or []
            may = not terms_ago and worker not in self.quarantined
            free = [job_id for job_id in job_ids if self.jobs[job_id].state is JobState.PENDING]
            assert leases == [self.jobs[job_id].lease(worker) for job_id in free if may]
            given += leases
        return multiple(*given)

    def look_for_pending_jobs(self, store: SqlDatastore) -> list[str]:
        found = self.do(store.pending_jobs(self.workload.id, now=self.now, limit=2))
        pending = {job.id for job in self.jobs.values() if job.state is JobState.PENDING}
        assert {job.id for job in found} <= pending
        return [job.id for job in found]

    @rule(target=leases, lease=leases, worker=WORKERS, store=SCHEDULERS, terms_ago=TERMS_AGO)
    def place_again(
        self, lease: Lease, worker: str, store: int, terms_ago: int
    ) -> MultipleResults[Lease]:
        """Whether or not the job is leased still."""
        job = self.job(lease)
        placement = build_placement(job.id, worker)
        work = self.stores[store].lease_again(placement, term=self.term - terms_ago)
        given = self.decide(work, terms_ago)
        may = (
            not terms_ago
            and worker not in self.quarantined
            and len(job.leases) == 1
            and job.leases[0].worker != worker
        )
        assert given == (job.lease(worker) if may else None)
        return multiple(given) if given else multiple()

    @rule(store=SCHEDULERS, terms_ago=TERMS_AGO)
    def find_that_one_fits_nowhere(self, store: int, terms_ago: int) -> None:
        """Besides others that are not pending: those stay."""
        pending = [job for job in self.jobs.values() if job.state is JobState.PENDING]
        others = [job for job in self.jobs.values() if job.state is not JobState.PENDING]
        work = self.stores[store].fail_pending(
            [job.id for job in (*others, *pending[:1])],
            DOES_NOT_FIT,
            term=self.term - terms_ago,
            now=self.now,
        )
        failed = self.decide(work, terms_ago) or []
        unfit = pending[: not terms_ago]
        assert [each.image_id for each in failed] == [job.original.id for job in unfit]
        for job, each in zip(unfit, failed, strict=True):
            self.settle(job, each.position)
            job.state = JobState.FAILED

    @rule(lease=leases, store=SCHEDULERS)
    def hand_in_a_result(self, lease: Lease, store: int) -> None:
        """In time, late, or a second time."""
        job = self.job(lease)
        result = build_filtered(job.original)
        work = self.stores[store].complete(lease, result, milliseconds=1.0, now=self.now)
        if lease not in job.leases:
            with pytest.raises(StaleAttempt):
                self.do(work)
            assert self.do(self.stores[store].image(result.id)) is None
            return
        settled = self.do(work)
        assert settled.worker == lease.worker
        self.settle(job, settled.position)
        job.state, job.leases, job.result = JobState.DONE, [], result.id

    @rule(lease=leases, store=SCHEDULERS)
    def let_a_lease_lapse(self, lease: Lease, store: int) -> None:
        job = self.job(lease)
        state = self.do(self.stores[store].fail(lease, BROKEN, jitter=0.5, now=self.now))
        if lease not in job.leases:
            assert state is None
            return
        job.end(lease)
        if job.state is JobState.PENDING:
            job.failures += 1
        if job.failures == MAX_FAILURES:
            job.state = JobState.FAILED
            self.settle(job, len(self.settled) + 1)
        assert state is job.state

    @rule(lease=leases, store=SCHEDULERS)
    def give_back(self, lease: Lease, store: int) -> None:
        job = self.job(lease)
        held = lease in job.leases
        assert self.do(self.stores[store].give_back(lease)) is held
        if held:
            job.end(lease)

    @precondition(lambda self: not self.quarantined)
    @rule(worker=WORKERS, store=SCHEDULERS)
    def quarantine(self, worker: str, store: int) -> None:
        """By lies about other jobs."""
        self.do(self.lie(self.stores[store], worker))
        self.quarantined.add(worker)
        for job in self.jobs.values():
            for lease in [each for each in job.leases if each.worker == worker]:
                job.end(lease)

    async def lie(self, store: SqlDatastore, worker: str) -> None:
        workload = await add_workload(store)
        jobs = await add_jobs(store, workload, MOST_REFUSED)
        placements = [build_placement(job.id, worker) for job in jobs]
        for lease in await store.lease(placements, term=self.term):
            refused = await store.refuse_result(lease, "A lie.", jitter=0.5, now=self.now)
        assert refused == RefusedResult(job_is=JobState.PENDING, quarantined=True)
        await store.remove_workload(workload.id, self.now)

    @precondition(lambda self: self.quarantined)
    @rule(store=SCHEDULERS)
    def release(self, store: int) -> None:
        worker = self.quarantined.pop()
        assert self.do(self.stores[store].release_worker(worker, self.now))
        self.do(self.stores[store].add_worker(build_worker(worker)))

    @rule(store=SCHEDULERS)
    def try_failed_jobs_again(self, store: int) -> None:
        failed = [job for job in self.jobs.values() if job.state is JobState.FAILED]
        assert self.do(self.stores[store].retry_failed(self.workload.id)) == len(failed)
        for job in failed:
            job.state, job.failures = JobState.PENDING, 0

    @precondition(lambda self: len(self.jobs) == MOST_JOBS)
    @rule(store=SCHEDULERS)
    def remove_the_workload(self, store: int) -> None:
        """What was leased of it is stale from then on."""
        self.do(self.stores[store].remove_workload(self.workload.id, self.now))
        for job in self.jobs.values():
            job.leases = []
        self.removed |= self.jobs
        self.begin()

    @rule(store=SCHEDULERS)
    def restart(self, store: int) -> None:
        self.do(self.stores[store].close())
        self.stores[store] = self.do(SqlDatastore.open(self.url))

    def settle(self, job: Job, position: int) -> None:
        self.settled.append(job.id)
        assert position == len(self.settled)

    @invariant()
    def every_job_is_where_it_should_be(self) -> None:
        states = [job.state for job in self.jobs.values()]
        known = self.do(self.stores[0].workload(self.workload.id))
        assert known is not None
        assert known.counts == JobCounts(
            pending=states.count(JobState.PENDING),
            leased=states.count(JobState.LEASED),
            done=states.count(JobState.DONE),
            failed=states.count(JobState.FAILED),
        )
        held = [lease for job in self.jobs.values() for lease in job.leases]
        out = self.do(self.stores[1].leases())
        assert len(out) == len(held)
        assert set(out) == set(held)

    @invariant()
    def every_result_is_visible_once(self) -> None:
        visible = self.do(self.stores[0].filtered_image_ids(self.workload.id))
        assert visible == [job.result for job in self.jobs.values() if job.result]

    @invariant()
    def no_failure_is_hidden(self) -> None:
        failed = self.do(self.stores[0].failed_jobs(self.workload.id))
        assert [job.image_id for job in failed] == [
            job.original.id for job in self.jobs.values() if job.state is JobState.FAILED
        ]

    def teardown(self) -> None:
        for store in self.stores:
            self.do(store.close())
        self.runner.close()
        shutil.rmtree(self.directory)


TestLifeOfAJob = LifeOfAJob.TestCase
TestLifeOfAJob.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],  # To shorten an example takes minutes on a database.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
