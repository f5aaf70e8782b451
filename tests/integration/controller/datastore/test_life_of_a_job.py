"""Any interleaving of uploads, schedulers, second leases, late workers, ends and restarts."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
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
from dpip.model.worker import FORGIVEN_AFTER, MOST_REFUSED
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
MOST_JOBS = 3
"""Few, so that each sees much."""
MEMORY = Path("/dev/shm")
"""Where there is such a directory, nothing waits for a disk."""


class Chance(NamedTuple):
    """What a move makes its choices by.

    ``lease`` picks one of those there are or were, ``store`` the process, and ``terms_ago`` is when
    a scheduler has led last: in the present term, or in the one before.
    """

    worker: str
    other: str
    lease: int
    store: int
    terms_ago: int
    seconds: float


CHANCES = st.builds(
    Chance,
    worker=st.sampled_from("aabc"),
    other=st.sampled_from("abc"),
    lease=st.integers(0, 20),
    store=st.sampled_from([0, 1]),
    terms_ago=st.sampled_from([0, 0, 0, 1]),
    seconds=st.sampled_from([1.0, 60.0, 3600.0, -3600.0]),
)
MOVES = [
    *["place", "place_again"] * 5,
    *["hand_in_a_result", "let_a_lease_lapse", "give_back"] * 2,
    *["upload", "find_that_one_fits_nowhere", "try_failed_jobs_again", "remove_the_workload"],
    *["quarantine", "release", "take_the_lead", "let_the_wall_clock_jump", "restart"],
]
"""The methods that are moves; the more often one is listed, the more often it is made."""


class Job:
    """What a job should be; ``leases`` are those that are held on it."""

    def __init__(self, original: Image) -> None:
        self.id = new_id()
        self.original = original
        self.state = JobState.PENDING
        self.attempt = 0
        self.failures = 0
        self.leases: list[Lease] = []
        self.failed_by: list[str] = []
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

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.url = f"sqlite:///{self.directory / 'dpip.db'}"
        self.stores = [self.do(SqlDatastore.open(self.url)) for _ in range(2)]
        self.term = 0
        self.quarantined: set[str] = set()
        self.held_against: dict[str, set[str]] = {}
        self.accepted_since: dict[str, int] = {}
        self.removed: dict[str, Job] = {}
        self.given: list[Lease] = []
        self.now = 1_800_000_000.0
        self.begin()

    def begin(self) -> None:
        """Have a new workload, with jobs."""
        self.workload = build_workload()
        self.do(self.stores[0].add_workload(self.workload))
        self.jobs: dict[str, Job] = {}
        self.settled: list[str] = []
        self.upload_to(self.stores[0])
        self.upload_to(self.stores[1])

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def decide(self, decision: Coroutine[Any, Any, T], terms_ago: int) -> T | None:
        """What a scheduler decides in its term; nothing if that is over."""
        if not terms_ago:
            return self.do(decision)
        with pytest.raises(Deposed):
            self.do(decision)
        return None

    @rule(name=st.sampled_from(MOVES), chance=CHANCES)
    def move(self, name: str, chance: Chance) -> None:
        """Make any of the moves. They are one rule: of many, most are left out of each run."""
        getattr(self, name)(chance)

    def pick(self, chance: Chance) -> tuple[Job, Lease]:
        """A lease that is held or, less often, was, with its job, which may be removed."""
        if not self.given:
            never = Lease(job_id=new_id(), attempt=1, worker=chance.worker)
            return Job(build_original(self.workload)), never
        held = [lease for job in self.jobs.values() for lease in job.leases]
        late = [lease for lease in self.given if lease not in held]
        leases = [*held * 4, *late[-3:]]
        lease = leases[chance.lease % len(leases)]
        return self.jobs.get(lease.job_id) or self.removed[lease.job_id], lease

    @initialize()
    def join(self) -> None:
        for worker in "abc":
            self.do(self.stores[0].add_worker(build_worker(worker)))

    def upload(self, chance: Chance) -> None:
        if len(self.jobs) < MOST_JOBS:
            self.upload_to(self.stores[chance.store])

    def upload_to(self, store: SqlDatastore) -> None:
        job = Job(build_original(self.workload))
        self.do(store.add_original(job.original, job.id))
        self.jobs[job.id] = job

    def let_the_wall_clock_jump(self, chance: Chance) -> None:
        self.now += chance.seconds

    def take_the_lead(self, chance: Chance) -> None:
        taken = self.do(self.stores[chance.store].take_lead("scheduler", "s", after_term=self.term))
        assert taken == self.term + 1
        self.term = taken

    def place(self, chance: Chance) -> None:
        """Both schedulers look, then both lease: what the second saw is leased already."""
        seen = [self.look_for_pending_jobs(store) for store in self.stores]
        for store, worker, job_ids in zip(
            self.stores, (chance.worker, chance.other), seen, strict=True
        ):
            placements = [build_placement(job_id, worker) for job_id in job_ids]
            if not placements:
                continue
            work = store.lease(placements, term=self.term - chance.terms_ago)
            leases = self.decide(work, chance.terms_ago) or []
            may = not chance.terms_ago and worker not in self.quarantined
            free = [job_id for job_id in job_ids if self.jobs[job_id].state is JobState.PENDING]
            assert leases == [self.jobs[job_id].lease(worker) for job_id in free if may]
            self.given += leases

    def look_for_pending_jobs(self, store: SqlDatastore) -> list[str]:
        found = self.do(store.pending_jobs(self.workload.id, now=self.now, limit=2))
        pending = {job.id for job in self.jobs.values() if job.state is JobState.PENDING}
        assert {job.id for job in found} <= pending
        return [job.id for job in found]

    def place_again(self, chance: Chance) -> None:
        """Whether or not the job is leased still."""
        job, _ = self.pick(chance)
        placement = build_placement(job.id, chance.other)
        work = self.stores[chance.store].lease_again(placement, term=self.term - chance.terms_ago)
        given = self.decide(work, chance.terms_ago)
        may = (
            not chance.terms_ago
            and chance.other not in self.quarantined
            and len(job.leases) == 1
            and job.leases[0].worker != chance.other
        )
        assert given == (job.lease(chance.other) if may else None)
        self.given += [given] if given else []

    def find_that_one_fits_nowhere(self, chance: Chance) -> None:
        """Besides others that are not pending: those stay."""
        pending = [job for job in self.jobs.values() if job.state is JobState.PENDING]
        others = [job for job in self.jobs.values() if job.state is not JobState.PENDING]
        work = self.stores[chance.store].fail_pending(
            [job.id for job in (*others, *pending[:1])],
            DOES_NOT_FIT,
            term=self.term - chance.terms_ago,
            now=self.now,
        )
        failed = self.decide(work, chance.terms_ago) or []
        unfit = pending[: not chance.terms_ago]
        assert [each.image_id for each in failed] == [job.original.id for job in unfit]
        for job, each in zip(unfit, failed, strict=True):
            self.settle(job, each.position)
            job.state = JobState.FAILED

    def hand_in_a_result(self, chance: Chance) -> None:
        """In time, late, or a second time."""
        job, lease = self.pick(chance)
        result = build_filtered(job.original)
        work = self.stores[chance.store].complete(lease, result, milliseconds=1.0, now=self.now)
        if lease not in job.leases:
            with pytest.raises(StaleAttempt):
                self.do(work)
            assert self.do(self.stores[chance.store].image(result.id)) is None
            return
        settled = self.do(work)
        assert settled.worker == lease.worker
        self.settle(job, settled.position)
        job.state, job.leases, job.result = JobState.DONE, [], result.id
        self.accept(lease.worker)
        for worker in job.failed_by:
            if worker != lease.worker:
                self.hold_against(worker, job)

    def accept(self, worker: str) -> None:
        self.accepted_since[worker] = self.accepted_since.get(worker, 0) + 1
        if self.accepted_since[worker] == FORGIVEN_AFTER:
            self.held_against.pop(worker, None)

    def hold_against(self, worker: str, job: Job) -> None:
        if worker in self.quarantined:
            return
        self.accepted_since[worker] = 0
        self.held_against.setdefault(worker, set()).add(job.id)
        if len(self.held_against[worker]) == MOST_REFUSED:
            self.shut_out(worker)

    def shut_out(self, worker: str) -> None:
        self.quarantined.add(worker)
        for job in self.jobs.values():
            for lease in [each for each in job.leases if each.worker == worker]:
                job.end(lease)

    def let_a_lease_lapse(self, chance: Chance) -> None:
        job, lease = self.pick(chance)
        state = self.do(self.stores[chance.store].fail(lease, BROKEN, jitter=0.5, now=self.now))
        if lease not in job.leases:
            assert state is None
            return
        job.end(lease)
        job.failed_by = [*(each for each in job.failed_by if each != lease.worker), lease.worker]
        if job.state is JobState.PENDING:
            job.failures += 1
        if job.failures == MAX_FAILURES:
            job.state = JobState.FAILED
            self.settle(job, len(self.settled) + 1)
        assert state is job.state

    def give_back(self, chance: Chance) -> None:
        job, lease = self.pick(chance)
        held = lease in job.leases
        assert self.do(self.stores[chance.store].give_back(lease)) is held
        if held:
            job.end(lease)

    def quarantine(self, chance: Chance) -> None:
        """By lies about other jobs."""
        if self.quarantined:
            return
        worker = chance.worker
        self.do(self.lie(self.stores[chance.store], worker))
        self.shut_out(worker)

    async def lie(self, store: SqlDatastore, worker: str) -> None:
        workload = await add_workload(store)
        jobs = await add_jobs(store, workload, MOST_REFUSED)
        placements = [build_placement(job.id, worker) for job in jobs]
        refused = [
            await store.refuse_result(lease, "A lie.", jitter=0.5, now=self.now)
            for lease in await store.lease(placements, term=self.term)
        ]
        assert RefusedResult(job_is=JobState.PENDING, quarantined=True) in refused
        await store.remove_workload(workload.id, self.now)

    def release(self, chance: Chance) -> None:
        if not self.quarantined:
            return
        worker = self.quarantined.pop()
        self.held_against.pop(worker, None)
        assert self.do(self.stores[chance.store].release_worker(worker, self.now))
        self.do(self.stores[chance.store].add_worker(build_worker(worker)))

    def try_failed_jobs_again(self, chance: Chance) -> None:
        failed = [job for job in self.jobs.values() if job.state is JobState.FAILED]
        assert self.do(self.stores[chance.store].retry_failed(self.workload.id)) == len(failed)
        for job in failed:
            job.state, job.failures, job.failed_by = JobState.PENDING, 0, []

    def remove_the_workload(self, chance: Chance) -> None:
        """What was leased of it is stale from then on."""
        if len(self.settled) < MOST_JOBS:
            return
        self.do(self.stores[chance.store].remove_workload(self.workload.id, self.now))
        for job in self.jobs.values():
            job.leases = []
        self.removed |= self.jobs
        self.begin()

    def restart(self, chance: Chance) -> None:
        self.do(self.stores[chance.store].close())
        self.stores[chance.store] = self.do(SqlDatastore.open(self.url))

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
    def whom_nothing_is_held_against_is_at_large(self) -> None:
        assert self.do(self.stores[1].quarantined_workers()) == self.quarantined

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
