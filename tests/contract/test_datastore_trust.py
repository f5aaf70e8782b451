"""What ``dpip.ports.datastore`` promises of failures that another worker disproves."""

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.model.activity import ActivityKind
from dpip.model.job import MAX_FAILURES, Failure, FailureCode, JobState
from dpip.model.worker import FORGIVEN_AFTER, MOST_REFUSED, WorkerState
from tests.contract.builders import (
    BROKEN,
    NOW,
    Job,
    add_job,
    add_jobs,
    add_workload,
    build_filtered,
    build_worker,
    complete,
    fail_for_good,
    lease,
    lease_twice,
    pending_jobs,
)

WORKERS = ("ada", "grace", "mary")


@pytest.fixture(autouse=True)
async def workers(datastore: SqlDatastore) -> None:
    """Three are there, each with a token."""
    for name in WORKERS:
        await datastore.add_worker(build_worker(name))
        await datastore.add_worker_token(f"token of {name}", worker=name, created_at=NOW)


async def fail(
    datastore: SqlDatastore, job: Job, worker: str = "ada", failure: Failure = BROKEN
) -> None:
    await datastore.fail(await lease(datastore, job, worker), failure, jitter=0.0, now=NOW)


async def disprove(
    datastore: SqlDatastore, count: int, *, code: FailureCode = FailureCode.DECODE_FAILED
) -> None:
    """Have ``grace`` do what ``ada`` has failed."""
    for job in await add_jobs(datastore, await add_workload(datastore), count):
        await fail(datastore, job, "ada", Failure(code=code, reason="It would not."))
        await complete(datastore, job, "grace")


async def states(datastore: SqlDatastore) -> list[WorkerState]:
    return [worker.state for worker in await datastore.workers()]


async def test_a_job_knows_who_has_failed_it(datastore: SqlDatastore) -> None:
    """While it waits, and for whoever asks about it later; one that gave it back has not."""
    job = await add_job(datastore)
    await fail(datastore, job, "ada")
    await datastore.give_back(await lease(datastore, job, "mary"))
    (pending,) = await pending_jobs(datastore)
    assert pending.failed_by == {"ada"}
    await fail(datastore, job, "grace")
    await fail(datastore, job, "ada")
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.state, view.failed_by) == (JobState.FAILED, ("grace", "ada"))


async def test_a_job_that_is_tried_again_begins_anew(datastore: SqlDatastore) -> None:
    """The limits under which it failed may have been raised: nobody is disproved by that."""
    for job in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        await fail_for_good(datastore, job)
        await datastore.retry_failed(job.original.workload_id)
        (pending,) = await datastore.pending_jobs(job.original.workload_id, now=NOW, limit=1)
        assert pending.failed_by == frozenset()
        await complete(datastore, job, "grace")
    assert await states(datastore) == [WorkerState.ALIVE] * 3


@pytest.mark.parametrize(
    "code",
    [
        FailureCode.DECODE_FAILED,
        FailureCode.FILTER_FAILED,
        FailureCode.OUT_OF_MEMORY,
        FailureCode.TIMED_OUT,
        FailureCode.CRASHED,
        FailureCode.ORIGINAL_UNAVAILABLE,
    ],
)
async def test_one_who_fails_what_others_can_do_is_quarantined(
    datastore: SqlDatastore, code: FailureCode
) -> None:
    """Whatever it says of it: its token ends, what it holds is free, and the reason is told."""
    held = await add_job(datastore)
    await lease(datastore, held)
    await disprove(datastore, MOST_REFUSED - 1, code=code)
    assert await states(datastore) == [WorkerState.ALIVE] * 3
    await disprove(datastore, 1, code=code)
    assert await states(datastore) == [
        WorkerState.QUARANTINED,
        WorkerState.ALIVE,
        WorkerState.ALIVE,
    ]
    assert await datastore.caller("token of ada", NOW) is None
    assert await datastore.leases() == []
    ada = await datastore.worker("ada")
    assert ada is not None
    assert ada.paused == f"is in quarantine: grace has done what it failed with {code}"
    activities = await datastore.activities(limit=100)
    assert [
        each.subject for each in activities if each.kind is ActivityKind.WORKER_QUARANTINED
    ] == ["ada"]


async def test_good_results_between_do_not_restore_its_trust(datastore: SqlDatastore) -> None:
    """Only many in a row make up for what is held against it."""
    for _ in range(MOST_REFUSED):
        assert (await states(datastore))[0] is WorkerState.ALIVE
        for job in await add_jobs(datastore, await add_workload(datastore), FORGIVEN_AFTER - 1):
            await complete(datastore, job, "ada")
        await disprove(datastore, 1)
    assert (await states(datastore))[0] is WorkerState.QUARANTINED


async def test_one_who_does_nearly_all_well_is_not_quarantined(datastore: SqlDatastore) -> None:
    """A small machine may fail what is too heavy for it, now and then."""
    for _ in range(MOST_REFUSED):
        await disprove(datastore, MOST_REFUSED - 1)
        for job in await add_jobs(datastore, await add_workload(datastore), FORGIVEN_AFTER):
            await complete(datastore, job, "ada")
    assert await states(datastore) == [WorkerState.ALIVE] * 3


async def test_a_picture_that_nobody_can_do_is_held_against_nobody(
    datastore: SqlDatastore,
) -> None:
    """However many there are."""
    for job in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        for name in WORKERS:
            await fail(datastore, job, name)
    assert len(WORKERS) == MAX_FAILURES
    assert await states(datastore) == [WorkerState.ALIVE] * 3


async def test_a_worker_disproves_itself_not(datastore: SqlDatastore) -> None:
    """One that does at last what it has failed may have had too little memory before."""
    for job in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        await fail(datastore, job, "ada")
        await complete(datastore, job, "ada")
    assert await states(datastore) == [WorkerState.ALIVE] * 3


async def test_one_that_was_lost_is_not_disproved(datastore: SqlDatastore) -> None:
    """It has said nothing of its pictures; but they go elsewhere first."""
    await disprove(datastore, MOST_REFUSED, code=FailureCode.WORKER_LOST)
    assert await states(datastore) == [WorkerState.ALIVE] * 3


async def test_a_failure_beside_another_attempt_is_disproved_too(datastore: SqlDatastore) -> None:
    """Though it costs the job none of its attempts."""
    for job in await add_jobs(datastore, await add_workload(datastore), MOST_REFUSED):
        earlier, later = await lease_twice(datastore, job, "grace", "ada")
        await datastore.fail(later, BROKEN, jitter=0.0, now=NOW)
        await datastore.complete(earlier, build_filtered(job.original), milliseconds=1.0, now=NOW)
    assert (await states(datastore))[0] is WorkerState.QUARANTINED


async def test_what_is_held_against_a_worker_outlives_its_process(
    datastore: SqlDatastore,
) -> None:
    """One that left and joins again under its name is the machine that it was."""
    await disprove(datastore, MOST_REFUSED - 1)
    await datastore.end_worker("ada", WorkerState.LEFT, NOW)
    await datastore.add_worker(build_worker("ada", instance="2"))
    await disprove(datastore, 1)
    assert (await states(datastore))[0] is WorkerState.QUARANTINED
