"""Any interleaving of uploads, schedulers, late workers, expired leases and restarts."""

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
from dpip.errors import StaleAttempt
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.job import MAX_FAILURES, Failure, FailureCode, JobState, Lease
from dpip.model.workload import JobCounts
from tests.contract.builders import build_filtered, build_original, build_workload

T = TypeVar("T")

BROKEN = Failure(code=FailureCode.CRASHED, reason="It crashed.")
SCHEDULERS = st.sampled_from([0, 1])
WORKERS = st.sampled_from("aab")
MOST_JOBS = 3
"""Few, so that each sees much."""


class Job:
    """What a job should be."""

    def __init__(self, original: Image) -> None:
        self.id = new_id()
        self.original = original
        self.state = JobState.PENDING
        self.attempt = 0
        self.failures = 0
        self.lease: Lease | None = None
        self.result: str | None = None


class LifeOfAJob(RuleBasedStateMachine):
    """Drives two datastores on one database, and knows what they should say."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp())
        self.url = f"sqlite:///{self.directory / 'dpip.db'}"
        self.stores = [self.do(SqlDatastore.open(self.url)) for _ in range(2)]
        self.workload = build_workload()
        self.jobs: dict[str, Job] = {}
        self.settled: list[str] = []
        self.now = 1_800_000_000.0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def create(self) -> None:
        self.do(self.stores[0].add_workload(self.workload))

    @precondition(lambda self: len(self.jobs) < MOST_JOBS)
    @rule(store=SCHEDULERS)
    def upload(self, store: int) -> None:
        job = Job(build_original(self.workload))
        self.do(self.stores[store].add_original(job.original, job.id))
        self.jobs[job.id] = job

    @rule(seconds=st.sampled_from([1.0, 60.0, 3600.0, -3600.0]))
    def let_the_wall_clock_jump(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=leases, first=WORKERS, second=WORKERS)
    def place(self, first: str, second: str) -> MultipleResults[Lease]:
        """Both schedulers look, then both lease: what the second saw is leased already."""
        seen = [self.look_for_pending_jobs(store) for store in self.stores]
        given = []
        for store, worker, job_ids in zip(self.stores, (first, second), seen, strict=True):
            free = [job_id for job_id in job_ids if self.jobs[job_id].state is JobState.PENDING]
            leases = self.do(store.lease([(job_id, worker) for job_id in job_ids]))
            assert sorted(lease.job_id for lease in leases) == sorted(free)
            for lease in leases:
                job = self.jobs[lease.job_id]
                job.attempt += 1
                assert lease == Lease(job_id=job.id, attempt=job.attempt, worker=worker)
                job.state, job.lease = JobState.LEASED, lease
            given += leases
        return multiple(*given)

    def look_for_pending_jobs(self, store: SqlDatastore) -> list[str]:
        found = self.do(store.pending_jobs(now=self.now, limit=2))
        pending = {job.id for job in self.jobs.values() if job.state is JobState.PENDING}
        assert {job.id for job in found} <= pending
        return [job.id for job in found]

    @rule(lease=leases, store=SCHEDULERS)
    def hand_in_a_result(self, lease: Lease, store: int) -> None:
        """In time, late, or a second time."""
        job = self.jobs[lease.job_id]
        result = build_filtered(job.original)
        work = self.stores[store].complete(lease, result, milliseconds=1.0, now=self.now)
        if job.lease != lease:
            with pytest.raises(StaleAttempt):
                self.do(work)
            assert self.do(self.stores[store].image(result.id)) is None
            return
        self.settle(job, self.do(work).position)
        job.state, job.lease, job.result = JobState.DONE, None, result.id

    @rule(lease=leases, store=SCHEDULERS)
    def let_a_lease_lapse(self, lease: Lease, store: int) -> None:
        job = self.jobs[lease.job_id]
        state = self.do(self.stores[store].fail(lease, BROKEN, jitter=0.5, now=self.now))
        if job.lease != lease:
            assert state is None
            return
        job.failures += 1
        job.lease = None
        job.state = JobState.FAILED if job.failures == MAX_FAILURES else JobState.PENDING
        assert state is job.state
        if state is JobState.FAILED:
            self.settle(job, len(self.settled) + 1)

    @rule(lease=leases, store=SCHEDULERS)
    def give_back(self, lease: Lease, store: int) -> None:
        job = self.jobs[lease.job_id]
        assert self.do(self.stores[store].give_back(lease)) is (job.lease == lease)
        if job.lease == lease:
            job.state, job.lease = JobState.PENDING, None

    @rule(store=SCHEDULERS)
    def try_failed_jobs_again(self, store: int) -> None:
        failed = [job for job in self.jobs.values() if job.state is JobState.FAILED]
        assert self.do(self.stores[store].retry_failed(self.workload.id)) == len(failed)
        for job in failed:
            job.state, job.failures = JobState.PENDING, 0

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
        if known is None:  # Before it is created.
            return
        assert known.counts == JobCounts(
            pending=states.count(JobState.PENDING),
            leased=states.count(JobState.LEASED),
            done=states.count(JobState.DONE),
            failed=states.count(JobState.FAILED),
        )
        held = {job.lease for job in self.jobs.values() if job.lease}
        assert set(self.do(self.stores[1].leases())) == held

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
