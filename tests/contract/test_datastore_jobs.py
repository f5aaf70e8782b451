"""What ``dpip.ports.datastore.Jobs`` promises."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import StaleAttempt
from dpip.model.activity import Activity, ActivityKind
from dpip.model.ids import new_id
from dpip.model.job import (
    MAX_FAILURES,
    MAX_RETRY_DELAY,
    Failure,
    FailureCode,
    JobState,
    Lease,
    LeasedJob,
    PendingJob,
    SettledJob,
    retry_delay,
)
from dpip.model.workload import JobCounts
from tests.contract.builders import (
    BROKEN,
    HEADER,
    NO_TERM,
    NOW,
    PIPELINE,
    Job,
    add_job,
    add_jobs,
    add_workload,
    build_filtered,
    build_placement,
    complete,
    fail_for_good,
    ids,
    lease,
    pending_ids,
    pending_jobs,
)
from tests.contract.conftest import Query

EVERY_JOB = "SELECT * FROM jobs ORDER BY id"
EVERY_WORKLOAD = "SELECT id, pending, leased, done, failed, settled FROM workloads ORDER BY id"


async def stale_leases(datastore: SqlDatastore, job: Job) -> list[Lease]:
    """Leases that look like the one that is out on the job, and are not."""
    await datastore.give_back(await lease(datastore, job, "ada"))
    held = await lease(datastore, job, "ada")
    return [
        msgspec.structs.replace(held, attempt=held.attempt - 1),
        msgspec.structs.replace(held, attempt=held.attempt + 1),
        msgspec.structs.replace(held, worker="grace"),
        msgspec.structs.replace(held, job_id=new_id()),
    ]


def state_of(query: Query) -> list[object]:
    return [query(EVERY_JOB), query(EVERY_WORKLOAD), query("SELECT id FROM images ORDER BY id")]


async def counts_of(datastore: SqlDatastore, job: Job) -> JobCounts:
    workload = await datastore.workload(job.original.workload_id)
    assert workload
    return workload.counts


# What is pending


async def test_a_pending_job_carries_what_its_worker_needs(datastore: SqlDatastore) -> None:
    """Pipeline, header, size and hash come with it."""
    job = await add_job(datastore)
    assert await pending_jobs(datastore, NOW) == [
        PendingJob(
            id=job.id,
            workload_id=job.original.workload_id,
            workload_name=job.original.workload_name,
            image_id=job.original.id,
            pipeline=PIPELINE,
            header=HEADER,
            size=job.original.size,
            sha256=job.original.sha256,
        )
    ]


async def test_the_longest_waiting_jobs_are_pending_first(datastore: SqlDatastore) -> None:
    """The head of each workload's line is given, up to the limit, and no job of another."""
    workloads = [await add_workload(datastore) for _ in range(2)]
    jobs = [await add_job(datastore, workloads[number % 2]) for number in range(6)]
    for number, workload in enumerate(workloads):
        head = await datastore.pending_jobs(workload.id, now=NOW, limit=2)
        assert [job.id for job in head] == ids(jobs[number::2][:2])
    assert await datastore.pending_jobs(new_id(), now=NOW, limit=2) == []


async def test_only_pending_jobs_are_pending(datastore: SqlDatastore) -> None:
    """Leased, done and failed ones are not among them."""
    workload = await add_workload(datastore)
    leased, done, failed, pending = await add_jobs(datastore, workload, 4)
    await lease(datastore, leased)
    await complete(datastore, done)
    await fail_for_good(datastore, failed)
    assert await pending_ids(datastore) == [pending.id]


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
async def test_a_failed_job_waits_for_its_delay(datastore: SqlDatastore, jitter: float) -> None:
    """Each failure counts into the delay; the job is back at its end and not before."""
    job = await add_job(datastore)
    for failures in range(1, MAX_FAILURES):
        await datastore.fail(await lease(datastore, job), BROKEN, jitter=jitter, now=NOW)
        over = NOW + retry_delay(failures, jitter)
        assert await pending_ids(datastore, over - 0.01) == []
        (pending,) = await pending_jobs(datastore, over)
        assert (pending.id, pending.failures) == (job.id, failures)


async def test_a_delay_beyond_the_longest_is_over(datastore: SqlDatastore) -> None:
    """When the wall clock steps back, a job does not wait until it has caught up."""
    job = await add_job(datastore)
    await datastore.fail(await lease(datastore, job), BROKEN, jitter=0.0, now=NOW)
    over = NOW + retry_delay(1, 0.0)
    assert await pending_ids(datastore, over - MAX_RETRY_DELAY) == []
    assert await pending_ids(datastore, over - MAX_RETRY_DELAY - 0.01) == [job.id]


# Leases


async def test_a_lease_is_numbered(datastore: SqlDatastore) -> None:
    """The attempt grows by one with every lease, whoever gets it and however the last ended."""
    job = await add_job(datastore)
    first = await lease(datastore, job, "ada")
    await datastore.give_back(first)
    second = await lease(datastore, job, "grace")
    await datastore.fail(second, BROKEN, jitter=0.0, now=NOW)
    third = await lease(datastore, job, "ada")
    assert [first, second, third] == [
        Lease(job_id=job.id, attempt=1, worker="ada"),
        Lease(job_id=job.id, attempt=2, worker="grace"),
        Lease(job_id=job.id, attempt=3, worker="ada"),
    ]


async def test_many_jobs_are_leased_at_once(datastore: SqlDatastore) -> None:
    """Each goes to the worker that it was placed on, across workloads."""
    jobs = [await add_job(datastore) for _ in range(4)]
    placements = [build_placement(job.id, at) for job, at in zip(jobs, "abab", strict=True)]
    leases = await datastore.lease(placements, term=NO_TERM)
    assert leases == [
        Lease(job_id=placed.job_id, attempt=1, worker=placed.worker) for placed in placements
    ]
    assert await pending_ids(datastore) == []


async def test_nothing_placed_is_nothing_leased(datastore: SqlDatastore) -> None:
    """No placements give no leases."""
    await add_job(datastore)
    assert await datastore.lease([], term=NO_TERM) == []


async def test_a_job_that_is_not_pending_is_left_out(datastore: SqlDatastore, query: Query) -> None:
    """Leased, done, failed and unknown jobs stay as they are, and the rest is leased."""
    workload = await add_workload(datastore)
    leased, done, failed, pending = await add_jobs(datastore, workload, 4)
    await lease(datastore, leased)
    await complete(datastore, done)
    await fail_for_good(datastore, failed)
    unmoved = f"SELECT id, state, attempt, worker FROM jobs WHERE id <> '{pending.id}' ORDER BY id"
    before = query(unmoved)
    job_ids = (*ids([leased, done, failed]), new_id(), pending.id)
    placements = [build_placement(job_id, "grace") for job_id in job_ids]
    leases = await datastore.lease(placements, term=NO_TERM)
    assert leases == [Lease(job_id=pending.id, attempt=1, worker="grace")]
    assert query(unmoved) == before


async def test_a_job_placed_twice_is_leased_once(datastore: SqlDatastore) -> None:
    """The first worker gets it, and the count says one."""
    job = await add_job(datastore)
    placements = [build_placement(job.id, worker) for worker in ("ada", "grace", "ada")]
    leases = await datastore.lease(placements, term=NO_TERM)
    assert leases == [Lease(job_id=job.id, attempt=1, worker="ada")]
    assert await counts_of(datastore, job) == JobCounts(leased=1)


async def test_all_leases_that_are_out_are_listed(datastore: SqlDatastore) -> None:
    """Those that have ended in whatever way are not."""
    workload = await add_workload(datastore)
    jobs = await add_jobs(datastore, workload, 6)
    held = [await lease(datastore, jobs[0], "ada"), await lease(datastore, jobs[1], "grace")]
    await complete(datastore, jobs[2])
    await fail_for_good(datastore, jobs[3])
    await datastore.give_back(await lease(datastore, jobs[4]))
    listed = await datastore.leases()
    assert sorted(listed, key=lambda each: each.job_id) == held


async def test_a_leased_image_is_open_to_its_worker(datastore: SqlDatastore) -> None:
    """It is not before the lease, not to another worker, and not after the lease."""
    job = await add_job(datastore)
    assert not await datastore.leased_image(job.original.id, "ada")
    held = await lease(datastore, job, "ada")
    assert await datastore.leased_image(job.original.id, "ada")
    assert not await datastore.leased_image(job.original.id, "grace")
    assert not await datastore.leased_image(new_id(), "ada")
    await datastore.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert not await datastore.leased_image(job.original.id, "ada")


async def test_a_held_lease_leads_to_its_job(datastore: SqlDatastore) -> None:
    """To its original and pipeline, while it is held, and no other lease does."""
    job = await add_job(datastore)
    for stale in await stale_leases(datastore, job):
        assert await datastore.leased_job(stale) is None
    (held,) = await datastore.leases()
    workload = await datastore.workload(job.original.workload_id)
    assert workload is not None
    assert await datastore.leased_job(held) == LeasedJob(
        original=job.original, pipeline=workload.pipeline
    )
    await datastore.give_back(held)
    assert await datastore.leased_job(held) is None


@pytest.mark.parametrize("round_number", range(3))
async def test_two_schedulers_never_lease_one_job_twice(
    datastore: SqlDatastore, second_datastore: SqlDatastore, round_number: int
) -> None:
    """Two processes that place the same jobs in any order share them, and none is refused."""
    workloads = [await add_workload(datastore) for _ in range(3)]
    jobs = [job for workload in workloads for job in await add_jobs(datastore, workload, 20)]
    shuffled = random.Random(round_number)

    async def take(store: SqlDatastore, name: str) -> list[Lease]:
        placements = [
            build_placement(job.id, f"{name}{number % 4}") for number, job in enumerate(jobs)
        ]
        shuffled.shuffle(placements)
        groups = [placements[start : start + 12] for start in range(0, len(placements), 12)]
        leases = await asyncio.gather(*(store.lease(group, term=NO_TERM) for group in groups))
        return [held for group in leases for held in group]

    both = await asyncio.gather(take(datastore, "a"), take(second_datastore, "b"))
    leases = sorted((held for each in both for held in each), key=lambda held: held.job_id)
    assert [held.job_id for held in leases] == ids(jobs)
    assert sorted(await datastore.leases(), key=lambda held: held.job_id) == leases
    for workload in workloads:
        found = await datastore.workload(workload.id)
        assert found
        assert found.counts == JobCounts(leased=20)


# Completion


async def test_a_completed_job_is_done_with_its_result(datastore: SqlDatastore) -> None:
    """The answer says how it settled, and the result's image is there."""
    job = await add_job(datastore)
    filtered = msgspec.structs.replace(build_filtered(job.original), notes=("of_today", "a_newer"))
    held = await lease(datastore, job)
    settled = await datastore.complete(held, filtered, milliseconds=12.5, now=NOW)
    assert settled == SettledJob(
        position=1,
        image_id=job.original.id,
        state=JobState.DONE,
        filtered_image_id=filtered.id,
        filtered_format=filtered.header.format,
        filtered_sha256=filtered.sha256,
        worker="ada",
        milliseconds=12.5,
        notes=filtered.notes,
    )
    assert await datastore.settled_jobs(filtered.workload_id, after=0, limit=1) == [settled]
    assert await datastore.image(filtered.id) == filtered
    seen = await datastore.job_of_image(filtered.id)
    assert seen
    assert seen.notes == filtered.notes
    assert await counts_of(datastore, job) == JobCounts(done=1)


async def test_a_job_that_failed_before_can_be_done(datastore: SqlDatastore) -> None:
    """Nothing of the earlier failure shows in how it settled."""
    job = await add_job(datastore)
    await datastore.fail(await lease(datastore, job), BROKEN, jitter=0.0, now=NOW)
    settled = await complete(datastore, job)
    assert settled.failure is None
    assert await datastore.failed_jobs(job.original.workload_id) == []


@pytest.mark.parametrize("which", range(4), ids=["earlier", "later", "worker", "job"])
async def test_a_stale_attempt_completes_nothing(
    datastore: SqlDatastore, query: Query, which: int
) -> None:
    """``StaleAttempt`` names it, and no row is changed or kept."""
    job = await add_job(datastore)
    stale = (await stale_leases(datastore, job))[which]
    before = state_of(query)
    with pytest.raises(StaleAttempt) as refusal:
        await datastore.complete(stale, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert refusal.value.facts == {"job_id": stale.job_id, "attempt": stale.attempt}
    assert state_of(query) == before


async def test_a_job_is_completed_once(datastore: SqlDatastore, query: Query) -> None:
    """A second result for the same attempt is refused and the first one stays."""
    job = await add_job(datastore)
    held = await lease(datastore, job)
    await datastore.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW)
    before = state_of(query)
    with pytest.raises(StaleAttempt):
        await datastore.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert state_of(query) == before


async def test_a_result_for_another_workload_is_refused(
    datastore: SqlDatastore, query: Query
) -> None:
    """A lease finishes its job with an image of the job's workload, or not at all."""
    job, other = await add_job(datastore), await add_job(datastore)
    held = await lease(datastore, job)
    before = state_of(query)
    with pytest.raises(StaleAttempt):
        await datastore.complete(held, build_filtered(other.original), milliseconds=1.0, now=NOW)
    assert state_of(query) == before


async def test_of_many_results_together_one_is_taken(
    datastore: SqlDatastore, second_datastore: SqlDatastore, query: Query
) -> None:
    """Two processes that commit results of one attempt together keep a single one."""
    job = await add_job(datastore)
    held = await lease(datastore, job)
    outcomes = await asyncio.gather(
        *(
            store.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW)
            for store in (datastore, second_datastore) * 5
        ),
        return_exceptions=True,
    )
    assert Counter(type(outcome) for outcome in outcomes) == {SettledJob: 1, StaleAttempt: 9}
    assert query("SELECT count(*) FROM images WHERE kind = 'filtered'") == [(1,)]
    assert await counts_of(datastore, job) == JobCounts(done=1)


async def test_the_last_job_completes_its_workload(datastore: SqlDatastore) -> None:
    """That is recorded when nothing is left to do, and not before."""
    workload = await add_workload(datastore)
    first, second = await add_jobs(datastore, workload, 2)
    await complete(datastore, first)
    assert [each.kind for each in await datastore.activities(limit=10)] == [
        ActivityKind.WORKLOAD_CREATED
    ]
    await complete(datastore, second)
    assert (await datastore.activities(limit=1)) == [
        Activity(at=NOW, kind=ActivityKind.WORKLOAD_COMPLETED, subject=workload.id)
    ]


# Giving back


async def test_a_job_given_back_is_pending_at_once(datastore: SqlDatastore) -> None:
    """It costs no failure and no delay, however often it happens."""
    job = await add_job(datastore)
    for _ in range(MAX_FAILURES + 1):
        assert await datastore.give_back(await lease(datastore, job))
        (pending,) = await pending_jobs(datastore, NOW)
        assert (pending.id, pending.failures) == (job.id, 0)
    assert await counts_of(datastore, job) == JobCounts(pending=1)


async def test_a_job_given_back_keeps_its_place(datastore: SqlDatastore) -> None:
    """It stands in the line where it stood before."""
    first, second = await add_jobs(datastore, await add_workload(datastore), 2)
    await datastore.give_back(await lease(datastore, first))
    assert await pending_ids(datastore) == [first.id, second.id]


@pytest.mark.parametrize("which", range(4), ids=["earlier", "later", "worker", "job"])
async def test_a_stale_attempt_gives_nothing_back(
    datastore: SqlDatastore, query: Query, which: int
) -> None:
    """The answer is no, and no row is changed."""
    job = await add_job(datastore)
    stale = (await stale_leases(datastore, job))[which]
    before = state_of(query)
    assert not await datastore.give_back(stale)
    assert state_of(query) == before


# Failing


async def test_the_third_failure_is_the_last(datastore: SqlDatastore) -> None:
    """Two failures leave the job pending, the third one fails it with its own reason."""
    job = await add_job(datastore)
    states = []
    for number in range(MAX_FAILURES):
        failure = Failure(code=FailureCode.CRASHED, reason=f"Crash {number}.")
        held = await lease(datastore, job)
        states.append(await datastore.fail(held, failure, jitter=0.0, now=NOW))
    assert states == [JobState.PENDING, JobState.PENDING, JobState.FAILED]
    (failed,) = await datastore.failed_jobs(job.original.workload_id)
    assert failed.failure == Failure(code=FailureCode.CRASHED, reason="Crash 2.")
    assert await pending_ids(datastore) == []
    assert await counts_of(datastore, job) == JobCounts(failed=1)


async def test_a_failed_job_is_recorded(datastore: SqlDatastore) -> None:
    """The record has its code and reason, and then the end of the workload."""
    job = await add_job(datastore)
    await fail_for_good(datastore, job)
    recorded = await datastore.activities(limit=10)
    assert len(recorded) == 3
    assert (
        Activity(
            at=NOW,
            kind=ActivityKind.JOB_FAILED,
            subject=job.id,
            detail="decode_failed: The picture ends too early.",
        )
        in recorded
    )
    assert ActivityKind.WORKLOAD_COMPLETED in [each.kind for each in recorded]


async def test_a_failure_with_attempts_left_is_not_recorded(datastore: SqlDatastore) -> None:
    """Only what is final is worth an operator's time."""
    job = await add_job(datastore)
    await datastore.fail(await lease(datastore, job), BROKEN, jitter=0.0, now=NOW)
    assert [each.kind for each in await datastore.activities(limit=10)] == [
        ActivityKind.WORKLOAD_CREATED
    ]


@pytest.mark.parametrize("failures_before", [0, MAX_FAILURES - 1])
@pytest.mark.parametrize("which", range(4), ids=["earlier", "later", "worker", "job"])
async def test_a_stale_attempt_fails_nothing(
    datastore: SqlDatastore, query: Query, which: int, failures_before: int
) -> None:
    """The answer is ``None`` and no row is changed, on the last failure too."""
    job = await add_job(datastore)
    for _ in range(failures_before):
        await datastore.fail(await lease(datastore, job), BROKEN, jitter=0.0, now=NOW)
    stale = (await stale_leases(datastore, job))[which]
    before = state_of(query)
    assert await datastore.fail(stale, BROKEN, jitter=0.0, now=NOW) is None
    assert state_of(query) == before


@pytest.mark.parametrize("settle", [complete, fail_for_good])
async def test_a_settled_job_does_not_move(
    datastore: SqlDatastore, query: Query, settle: Callable[..., Awaitable[object]]
) -> None:
    """None of the moves touches a job that is done or failed."""
    job = await add_job(datastore)
    await settle(datastore, job)
    (row,) = query(EVERY_JOB)
    last = Lease(job_id=job.id, attempt=row.attempt, worker="ada")
    before = state_of(query)
    assert await datastore.lease([build_placement(job.id)], term=NO_TERM) == []
    assert await datastore.lease_again(build_placement(job.id, "grace"), term=NO_TERM) is None
    assert await datastore.fail_pending([job.id], BROKEN, term=NO_TERM, now=NOW) == []
    assert not await datastore.give_back(last)
    assert await datastore.fail(last, BROKEN, jitter=0.0, now=NOW) is None
    with pytest.raises(StaleAttempt):
        await datastore.complete(last, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert state_of(query) == before


# Everything at once


async def test_one_end_of_a_lease_wins(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """Of completing, failing and giving back together, on two processes, one happens."""
    jobs = await add_jobs(datastore, await add_workload(datastore), 12)
    leases = {job.id: await lease(datastore, job) for job in jobs}

    async def end(job: Job) -> int:
        held = leases[job.id]
        outcomes = await asyncio.gather(
            datastore.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW),
            second_datastore.fail(held, BROKEN, jitter=0.0, now=NOW),
            datastore.give_back(held),
            second_datastore.give_back(held),
            return_exceptions=True,
        )
        completed, failed, *given_back = outcomes
        assert isinstance(completed, SettledJob | StaleAttempt)
        return (
            isinstance(completed, SettledJob)
            + (failed is JobState.PENDING)
            + sum(each is True for each in given_back)
        )

    assert await asyncio.gather(*(end(job) for job in jobs)) == [1] * len(jobs)


@pytest.mark.parametrize("seed", range(3))
async def test_counts_equal_the_jobs_whatever_happens(
    datastore: SqlDatastore, second_datastore: SqlDatastore, query: Query, seed: int
) -> None:
    """After any number of moves by two processes, the counts are those of the jobs' states."""
    workloads = [await add_workload(datastore) for _ in range(3)]

    async def live(store: SqlDatastore, chance: random.Random) -> None:
        for _ in range(12):
            workload = chance.choice(workloads)
            await add_jobs(store, workload, 2)
            pending = await pending_jobs(store, limit=2)
            await store.lease(
                [build_placement(job.id, chance.choice("abc")) for job in pending], term=NO_TERM
            )
            for held in await store.leases():
                if chance.random() < 0.2:
                    again = build_placement(held.job_id, chance.choice("abc"))
                    await store.lease_again(again, term=NO_TERM)
            for held in await store.leases():
                job = await store.leased_job(held)
                if job is None:
                    continue
                filtered = build_filtered(job.original)
                try:
                    match chance.randrange(5):
                        case 0:
                            await store.give_back(held)
                        case 1 | 2:
                            await store.fail(held, BROKEN, jitter=0.0, now=NOW)
                        case 3:
                            await store.complete(held, filtered, milliseconds=1.0, now=NOW)
                except StaleAttempt:
                    continue  # The other one was first.

    chances = [random.Random(f"{seed} {number}") for number in range(4)]
    await asyncio.gather(
        *(live((datastore, second_datastore)[n % 2], chance) for n, chance in enumerate(chances))
    )
    for workload in workloads:
        counted = Counter(
            state
            for (state,) in query(f"SELECT state FROM jobs WHERE workload_id = '{workload.id}'")
        )
        found = await datastore.workload(workload.id)
        assert found
        assert msgspec.structs.asdict(found.counts) == {state: counted[state] for state in JobState}
        settled = await datastore.settled_jobs(workload.id, after=0, limit=1000)
        assert [job.position for job in settled] == list(range(1, len(settled) + 1))
        assert len(settled) == counted["done"] + counted["failed"]


async def test_processes_that_cross_workloads_do_not_refuse_each_other(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """Writes of two processes to the same workloads in opposite orders all succeed."""
    workloads = [await add_workload(datastore) for _ in range(8)]
    forwards = (add_job(datastore, workload) for workload in workloads * 6)
    backwards = (add_job(second_datastore, workload) for workload in workloads[::-1] * 6)
    await asyncio.gather(*forwards, *backwards)
    for workload in workloads:
        found = await datastore.workload(workload.id)
        assert found
        assert found.counts == JobCounts(pending=12)


async def test_pending_jobs_are_counted(datastore: SqlDatastore) -> None:
    """Those of all workloads, and neither leased nor settled ones."""
    assert await datastore.pending_count() == 0
    first, second = [await add_workload(datastore) for _ in range(2)]
    leased, done, _ = await add_jobs(datastore, first, 3)
    await add_jobs(datastore, second, 2)
    await lease(datastore, leased)
    await complete(datastore, done)
    assert await datastore.pending_count() == 3
