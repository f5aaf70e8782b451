"""What ``dpip.ports.datastore.Jobs`` promises of a job that is leased twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import StaleAttempt
from dpip.model.ids import new_id
from dpip.model.job import MAX_FAILURES, JobState, Lease, RefusedResult, SettledJob
from dpip.model.worker import MOST_REFUSED, WorkerState
from dpip.model.workload import JobCounts
from tests.contract.builders import (
    BROKEN,
    NO_TERM,
    NOW,
    WHY,
    Job,
    add_job,
    add_jobs,
    add_workload,
    build_filtered,
    build_placement,
    build_worker,
    complete,
    lease,
    lease_twice,
    pending_ids,
    pending_jobs,
)
from tests.contract.conftest import Query

End = Callable[[SqlDatastore, Lease], Awaitable[object]]

ENDS: dict[str, tuple[End, object]] = {
    "given back": (lambda store, held: store.give_back(held), True),
    "failed": (lambda store, held: store.fail(held, BROKEN, jitter=0.0, now=NOW), JobState.LEASED),
    "refused": (
        lambda store, held: store.refuse_result(held, "A lie.", jitter=0.0, now=NOW),
        RefusedResult(job_is=JobState.LEASED, quarantined=False),
    ),
    "timed out": (
        lambda store, held: store.time_out(held, "Too long.", jitter=0.0, now=NOW),
        RefusedResult(job_is=JobState.LEASED, quarantined=False),
    ),
}
"""How a lease ends without a result, and the answer where another one goes on."""

both_ways = pytest.mark.parametrize("later_first", [False, True], ids=["earlier", "later"])


async def counts_of(datastore: SqlDatastore, job: Job) -> JobCounts:
    workload = await datastore.workload(job.original.workload_id)
    assert workload
    return workload.counts


def ends(leases: tuple[Lease, Lease], later_first: bool) -> tuple[Lease, Lease]:
    """The lease that ends, and the one that goes on."""
    return (leases[1], leases[0]) if later_first else leases


def state_of(query: Query) -> list[object]:
    return [query(f"SELECT * FROM {table} ORDER BY id") for table in ("jobs", "workloads")]


# Leasing again


async def test_a_leased_job_is_leased_to_another_worker_too(datastore: SqlDatastore) -> None:
    """Each attempt has its number, both leases are held, and the job is counted once."""
    job = await add_job(datastore)
    leases = await lease_twice(datastore, job)
    assert leases == (
        Lease(job_id=job.id, attempt=1, worker="ada"),
        Lease(job_id=job.id, attempt=2, worker="grace"),
    )
    assert set(await datastore.leases()) == set(leases)
    for held in leases:
        leased = await datastore.leased_job(held)
        assert leased is not None
        assert leased.original == job.original
        assert await datastore.leased_image(job.original.id, held.worker)
    assert not await datastore.leased_image(job.original.id, "mallory")
    assert await counts_of(datastore, job) == JobCounts(leased=1)
    assert await pending_ids(datastore) == []


async def test_only_a_leased_job_is_leased_again(datastore: SqlDatastore, query: Query) -> None:
    """A pending, settled or unknown one is not, and stays as it is."""
    workload = await add_workload(datastore)
    pending, done = await add_jobs(datastore, workload, 2)
    await complete(datastore, done)
    before = state_of(query)
    for job_id in (pending.id, done.id, new_id()):
        placement = build_placement(job_id, "grace")
        assert await datastore.lease_again(placement, term=NO_TERM) is None
    assert state_of(query) == before


async def test_a_job_has_at_most_two_leases(datastore: SqlDatastore, query: Query) -> None:
    """Neither is there a third one, nor a second one for a worker that holds the job."""
    once, twice = await add_jobs(datastore, await add_workload(datastore), 2)
    await lease(datastore, once)
    await lease_twice(datastore, twice)
    before = state_of(query)
    for job, worker in ((once, "ada"), (twice, "ada"), (twice, "grace"), (twice, "mary")):
        placement = build_placement(job.id, worker)
        assert await datastore.lease_again(placement, term=NO_TERM) is None
    assert state_of(query) == before


async def test_no_job_is_leased_again_to_a_quarantined_worker(datastore: SqlDatastore) -> None:
    """It has its one lease still."""
    await datastore.add_worker(build_worker("grace"))
    for job in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        await datastore.refuse_result(
            await lease(datastore, job, "grace"), "A lie.", jitter=0.0, now=NOW
        )
    job = await add_job(datastore)
    held = await lease(datastore, job)
    assert await datastore.lease_again(build_placement(job.id, "grace"), term=NO_TERM) is None
    assert await datastore.leases() == [held]


# Ending one of two


@both_ways
@pytest.mark.parametrize("end", ENDS)
async def test_one_of_two_that_ends_leaves_the_job_leased(
    datastore: SqlDatastore, query: Query, end: str, later_first: bool
) -> None:
    """No failure is counted, the other lease is held on, and the ended one is stale."""
    job = await add_job(datastore)
    ended, other = ends(await lease_twice(datastore, job), later_first)
    ending, answer = ENDS[end]
    assert await ending(datastore, ended) == answer
    assert await datastore.leases() == [other]
    assert await datastore.leased_job(ended) is None
    assert not await datastore.leased_image(job.original.id, ended.worker)
    assert await datastore.leased_image(job.original.id, other.worker)
    assert await counts_of(datastore, job) == JobCounts(leased=1)
    before = state_of(query)
    assert not await datastore.give_back(ended)
    assert await datastore.fail(ended, BROKEN, jitter=0.0, now=NOW) is None
    with pytest.raises(StaleAttempt):
        await datastore.complete(ended, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert state_of(query) == before
    assert await datastore.give_back(other)
    (pending,) = await pending_jobs(datastore, NOW)
    assert (pending.id, pending.failures) == (job.id, 0)
    assert await counts_of(datastore, job) == JobCounts(pending=1)


@both_ways
async def test_the_last_of_two_that_fails_counts(
    datastore: SqlDatastore, later_first: bool
) -> None:
    """Once for both: the job waits for its next attempt as after any failure."""
    job = await add_job(datastore)
    for held in ends(await lease_twice(datastore, job), later_first):
        state = await datastore.fail(held, BROKEN, jitter=0.0, now=NOW)
    assert state is JobState.PENDING
    assert await pending_ids(datastore, NOW) == []
    (pending,) = await pending_jobs(datastore)
    assert pending.failures == 1
    again = await lease(datastore, job, "mary")
    assert again.attempt == 3
    assert await datastore.leases() == [again]


@both_ways
async def test_a_job_fails_for_good_by_the_one_that_was_left(
    datastore: SqlDatastore, later_first: bool
) -> None:
    """Its worker is the one that is named."""
    job = await add_job(datastore)
    for _ in range(MAX_FAILURES):
        first, last = ends(await lease_twice(datastore, job), later_first)
        for held in (first, last):
            state = await datastore.fail(held, BROKEN, jitter=0.0, now=NOW)
    assert state is JobState.FAILED
    (failed,) = await datastore.failed_jobs(job.original.workload_id)
    assert failed.worker == last.worker
    assert await datastore.leases() == []
    assert await counts_of(datastore, job) == JobCounts(failed=1)


@both_ways
async def test_a_job_of_which_one_lease_is_left_is_leased_again(
    datastore: SqlDatastore, later_first: bool
) -> None:
    """To a third worker; the number of its attempt is a new one."""
    job = await add_job(datastore)
    ended, other = ends(await lease_twice(datastore, job), later_first)
    await datastore.give_back(ended)
    placement = build_placement(job.id, other.worker)
    assert await datastore.lease_again(placement, term=NO_TERM) is None
    third = await datastore.lease_again(build_placement(job.id, "mary"), term=NO_TERM)
    assert third == Lease(job_id=job.id, attempt=3, worker="mary")
    assert set(await datastore.leases()) == {other, third}


@both_ways
async def test_a_quarantine_ends_one_of_two(datastore: SqlDatastore, later_first: bool) -> None:
    """The job of which the worker had one lease stays leased to the other one."""
    job = await add_job(datastore)
    gone, other = ends(await lease_twice(datastore, job), later_first)
    await datastore.add_worker(build_worker(gone.worker))
    for another in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        await datastore.refuse_result(
            await lease(datastore, another, gone.worker), "A lie.", jitter=0.0, now=NOW
        )
    known = await datastore.worker(gone.worker)
    assert known is not None
    assert known.state is WorkerState.QUARANTINED
    assert await datastore.leases() == [other]
    assert await counts_of(datastore, job) == JobCounts(leased=1)


@both_ways
async def test_a_lie_about_one_of_two_is_held_against_its_worker(
    datastore: SqlDatastore, later_first: bool
) -> None:
    """Though the job is no worse for it."""
    await datastore.add_worker(build_worker("ada"))
    refused = []
    for job in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        workers = ("grace", "ada") if later_first else ("ada", "grace")
        liar, _ = ends(await lease_twice(datastore, job, *workers), later_first)
        refused.append(await datastore.refuse_result(liar, "A lie.", jitter=0.0, now=NOW))
    assert refused[-1] == RefusedResult(job_is=JobState.LEASED, quarantined=True)
    assert [held.worker for held in await datastore.leases()] == ["grace"] * MOST_REFUSED


# The first result wins


@both_ways
async def test_the_first_result_ends_both_leases(
    datastore: SqlDatastore, query: Query, later_first: bool
) -> None:
    """The job is done by the worker that brought it, and the other one's is refused."""
    job = await add_job(datastore)
    winner, loser = ends(await lease_twice(datastore, job), later_first)
    filtered = build_filtered(job.original)
    settled = await datastore.complete(winner, filtered, milliseconds=12.5, now=NOW)
    assert settled == SettledJob(
        position=1,
        image_id=job.original.id,
        state=JobState.DONE,
        filtered_image_id=filtered.id,
        filtered_format=filtered.header.format,
        filtered_sha256=filtered.sha256,
        worker=winner.worker,
        milliseconds=12.5,
    )
    assert await datastore.leases() == []
    assert await counts_of(datastore, job) == JobCounts(done=1)
    before = [*state_of(query), query("SELECT id FROM images ORDER BY id")]
    with pytest.raises(StaleAttempt):
        await datastore.complete(loser, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert not await datastore.give_back(loser)
    assert await datastore.fail(loser, BROKEN, jitter=0.0, now=NOW) is None
    assert [*state_of(query), query("SELECT id FROM images ORDER BY id")] == before


@both_ways
async def test_the_one_that_is_left_can_win(datastore: SqlDatastore, later_first: bool) -> None:
    """Whatever became of the other."""
    job = await add_job(datastore)
    ended, other = ends(await lease_twice(datastore, job), later_first)
    await datastore.fail(ended, BROKEN, jitter=0.0, now=NOW)
    settled = await datastore.complete(
        other, build_filtered(job.original), milliseconds=1.0, now=NOW
    )
    assert (settled.worker, settled.failure) == (other.worker, None)


@pytest.mark.parametrize("which", range(4), ids=["mixed up", "the other way", "later", "job"])
async def test_what_looks_like_one_of_two_leases_is_none(
    datastore: SqlDatastore, query: Query, which: int
) -> None:
    """Attempt and worker of a lease belong together."""
    job = await add_job(datastore)
    earlier, later = await lease_twice(datastore, job)
    stale = [
        msgspec.structs.replace(earlier, worker=later.worker),
        msgspec.structs.replace(later, worker=earlier.worker),
        msgspec.structs.replace(later, attempt=3),
        msgspec.structs.replace(later, job_id=new_id()),
    ][which]
    before = state_of(query)
    assert await datastore.leased_job(stale) is None
    assert not await datastore.give_back(stale)
    assert await datastore.fail(stale, BROKEN, jitter=0.0, now=NOW) is None
    with pytest.raises(StaleAttempt):
        await datastore.complete(stale, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert state_of(query) == before


async def test_of_two_results_together_one_is_taken(
    datastore: SqlDatastore, second_datastore: SqlDatastore, query: Query
) -> None:
    """Two processes that commit the results of both attempts keep a single one."""
    jobs = await add_jobs(datastore, await add_workload(datastore), 8)
    pairs = [(job, await lease_twice(datastore, job)) for job in jobs]
    outcomes = await asyncio.gather(
        *(
            store.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW)
            for job, leases in pairs
            for store, held in zip((datastore, second_datastore), leases, strict=True)
        ),
        return_exceptions=True,
    )
    assert Counter(type(outcome) for outcome in outcomes) == {SettledJob: 8, StaleAttempt: 8}
    assert query("SELECT count(*) FROM images WHERE kind = 'filtered'") == [(8,)]


async def test_of_two_that_end_together_one_is_the_last(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """Two processes that fail both attempts at once count one failure, and lose no job."""
    jobs = await add_jobs(datastore, await add_workload(datastore), 8)
    pairs = [await lease_twice(datastore, job) for job in jobs]
    states = await asyncio.gather(
        *(
            store.fail(held, BROKEN, jitter=0.0, now=NOW)
            for leases in pairs
            for store, held in zip((datastore, second_datastore), leases, strict=True)
        )
    )
    assert Counter(states) == {JobState.LEASED: 8, JobState.PENDING: 8}
    assert [job.failures for job in await pending_jobs(datastore)] == [1] * 8
    assert await counts_of(datastore, jobs[0]) == JobCounts(pending=8)


# What is known of both


async def test_each_lease_says_why(datastore: SqlDatastore) -> None:
    """The second one does not hide the reasons of the first."""
    job = await add_job(datastore)
    backup = msgspec.structs.replace(WHY, policy="spread", backup=True)
    earlier = await lease(datastore, job)
    later = await datastore.lease_again(
        msgspec.structs.replace(build_placement(job.id, "grace"), why=backup), term=NO_TERM
    )
    placed = {each.lease: each for each in await datastore.placed_jobs([job.id])}
    assert {held: each.why for held, each in placed.items()} == {earlier: WHY, later: backup}
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.attempt, view.worker, view.why) == (2, "grace", backup)
    assert view.rival == earlier
    assert later is not None
    await datastore.give_back(later)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.worker, view.rival, view.why) == (None, earlier, WHY)
    await datastore.complete(earlier, build_filtered(job.original), milliseconds=1.0, now=NOW)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.worker, view.rival, view.why) == ("ada", None, WHY)
