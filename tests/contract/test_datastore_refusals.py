"""What ``dpip.ports.datastore`` promises of refused results and of quarantine."""

import asyncio

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import WorkerQuarantined
from dpip.model.activity import Activity, ActivityKind
from dpip.model.job import FailureCode, JobState, Lease, RefusedResult
from dpip.model.worker import FORGIVEN_AFTER, MOST_REFUSED, Reading, WorkerState
from tests.contract.builders import (
    NO_TERM,
    NOW,
    READING,
    Job,
    add_job,
    add_jobs,
    add_workload,
    build_placement,
    build_worker,
    complete,
    lease,
    pending_ids,
    pending_jobs,
)

REASON = "data cannot be '3 x 3'."


async def refuse(datastore: SqlDatastore, held: Lease) -> RefusedResult | None:
    return await datastore.refuse_result(held, REASON, jitter=0.0, now=NOW)


async def lie(datastore: SqlDatastore, count: int, worker: str = "ada") -> RefusedResult | None:
    """Hand in ``count`` results, each of a job of its own, that are refused."""
    refused = None
    for job in await add_jobs(datastore, await add_workload(datastore), count):
        refused = await refuse(datastore, await lease(datastore, job, worker))
    return refused


async def do_well(datastore: SqlDatastore, count: int, worker: str) -> None:
    for job in await add_jobs(datastore, await add_workload(datastore), count):
        await complete(datastore, job, worker)


async def state(datastore: SqlDatastore, name: str = "ada") -> WorkerState:
    worker = await datastore.worker(name)
    assert worker is not None
    return worker.state


@pytest.fixture
async def job(datastore: SqlDatastore) -> Job:
    """The job of a datastore that has the workers ``ada`` and ``grace``."""
    for name in ("ada", "grace"):
        await datastore.add_worker(build_worker(name))
        await datastore.add_worker_token(f"token of {name}", worker=name, created_at=NOW)
    return await add_job(datastore)


async def test_a_refused_result_is_a_failed_attempt(datastore: SqlDatastore, job: Job) -> None:
    """It waits as after any other failure, and fails for good after the third."""
    refused = await refuse(datastore, await lease(datastore, job))
    assert refused == RefusedResult(job_is=JobState.PENDING, quarantined=False)
    assert await pending_ids(datastore, NOW) == []
    (pending,) = await pending_jobs(datastore)
    assert pending.failures == 1
    for _ in range(2):
        refused = await refuse(datastore, await lease(datastore, job))
    assert refused == RefusedResult(job_is=JobState.FAILED, quarantined=False)
    (failed,) = await datastore.failed_jobs(job.original.workload_id)
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.reason) == (FailureCode.RESULT_REFUSED, REASON)
    assert await state(datastore) is WorkerState.ALIVE


async def test_a_stale_lease_has_no_result_to_refuse(datastore: SqlDatastore, job: Job) -> None:
    """It counts neither against the job nor against the worker."""
    held = await lease(datastore, job)
    await datastore.give_back(held)
    for _ in range(MOST_REFUSED):
        assert await refuse(datastore, held) is None
    await lie(datastore, MOST_REFUSED - 1)
    assert await state(datastore) is WorkerState.ALIVE
    (pending,) = await pending_jobs(datastore, NOW)
    assert (pending.id, pending.failures) == (job.id, 0)


async def test_one_who_keeps_lying_is_quarantined(datastore: SqlDatastore, job: Job) -> None:
    """In one step: it is recorded, the token ends, the other leases are free and cost no failure.

    Another worker is as it was.
    """
    await lease(datastore, job)
    kept = await lease(datastore, await add_job(datastore), "grace")
    await lie(datastore, MOST_REFUSED - 1)
    assert await state(datastore) is WorkerState.ALIVE
    assert await lie(datastore, 1) == RefusedResult(job_is=JobState.PENDING, quarantined=True)
    assert await state(datastore) is WorkerState.QUARANTINED
    assert await datastore.quarantined_workers() == {"ada"}
    assert await datastore.caller("token of ada", NOW) is None
    assert await datastore.caller("token of grace", NOW) is not None
    assert await datastore.leases() == [kept]
    (freed,) = await pending_jobs(datastore, NOW)
    assert (freed.id, freed.failures) == (job.id, 0)
    workload = await datastore.workload(job.original.workload_id)
    assert workload is not None
    assert (workload.counts.pending, workload.counts.leased) == (1, 0)
    assert await state(datastore, "grace") is WorkerState.ALIVE
    assert await datastore.activities(limit=1) == [
        Activity(at=NOW, kind=ActivityKind.WORKER_QUARANTINED, subject="ada", detail=REASON)
    ]


async def test_one_who_holds_on_to_jobs_is_quarantined(datastore: SqlDatastore, job: Job) -> None:
    """As one who lies, with whom it counts together; the job has timed out."""
    await lie(datastore, MOST_REFUSED - 2)
    jobs = await add_jobs(datastore, await add_workload(datastore), 2)
    timed_out = [
        await datastore.time_out(
            await lease(datastore, each), "Held too long.", jitter=0.0, now=NOW
        )
        for each in jobs
    ]
    assert [each.quarantined for each in timed_out if each] == [False, True]
    assert await state(datastore) is WorkerState.QUARANTINED
    stale = Lease(job_id=job.id, attempt=1, worker="grace")
    assert await datastore.time_out(stale, "Held too long.", jitter=0.0, now=NOW) is None


async def test_accepted_results_make_up_for_what_was_refused(
    datastore: SqlDatastore, job: Job
) -> None:
    """As many in a row, their worker's own: one now and then restores no trust."""
    await lie(datastore, MOST_REFUSED - 1)
    await lie(datastore, MOST_REFUSED - 1, "grace")
    await do_well(datastore, FORGIVEN_AFTER, "ada")
    await do_well(datastore, FORGIVEN_AFTER - 1, "grace")
    await lie(datastore, 1, "ada")
    assert await state(datastore, "ada") is WorkerState.ALIVE
    await lie(datastore, 1, "grace")
    assert await state(datastore, "grace") is WorkerState.QUARANTINED


async def test_joining_again_does_not_forgive(datastore: SqlDatastore, job: Job) -> None:
    """A worker that is started anew is the machine that it was."""
    await lie(datastore, MOST_REFUSED - 1)
    await datastore.add_worker(build_worker("ada", instance="2"))
    await lie(datastore, 1)
    assert await state(datastore) is WorkerState.QUARANTINED


async def test_no_job_is_leased_to_a_quarantined_worker(datastore: SqlDatastore, job: Job) -> None:
    """The jobs placed on it stay pending; those placed on others beside them are leased."""
    await lie(datastore, MOST_REFUSED)
    other = await add_job(datastore)
    (held,) = await datastore.lease(
        [build_placement(job.id, "ada"), build_placement(other.id, "grace")], term=NO_TERM
    )
    assert (held.job_id, held.worker) == (other.id, "grace")
    assert job.id in await pending_ids(datastore)


async def test_only_a_release_ends_a_quarantine(datastore: SqlDatastore, job: Job) -> None:
    """Neither a heartbeat nor an end nor joining again does, and none of them is recorded."""
    await lie(datastore, MOST_REFUSED)
    before = await datastore.activities(limit=100)
    quarantined = await datastore.worker("ada")
    beat = Reading("ada", WorkerState.ALIVE, READING, 3, NOW + 1)
    await datastore.record_heartbeats([beat], history=False)
    for end in (WorkerState.LEFT, WorkerState.LOST):
        await datastore.end_worker("ada", end, NOW + 2)
    with pytest.raises(WorkerQuarantined, match="dpip worker release ada"):
        await datastore.add_worker(build_worker("ada", instance="2"))
    assert await datastore.worker("ada") == quarantined
    assert await datastore.activities(limit=100) == before


async def test_a_released_worker_may_join_as_new(datastore: SqlDatastore, job: Job) -> None:
    """It is forgotten, with what was refused of it, and the release is recorded, once."""
    await lie(datastore, MOST_REFUSED)
    assert await datastore.release_worker("ada", NOW + 3)
    assert not await datastore.release_worker("ada", NOW + 4)
    assert await datastore.worker("ada") is None
    assert await datastore.activities(limit=1) == [
        Activity(at=NOW + 3, kind=ActivityKind.WORKER_RELEASED, subject="ada")
    ]
    await datastore.add_worker(build_worker("ada"))
    await lie(datastore, MOST_REFUSED - 1)
    assert await datastore.worker("ada") == build_worker("ada")


@pytest.mark.parametrize("name", ["grace", "nobody"])
async def test_only_the_quarantined_can_be_released(
    datastore: SqlDatastore, job: Job, name: str
) -> None:
    """Another worker stays as it is, and an unknown one is none."""
    await lie(datastore, MOST_REFUSED)
    assert not await datastore.release_worker(name, NOW)
    assert await state(datastore, "grace") is WorkerState.ALIVE
    assert await datastore.quarantined_workers() == {"ada"}


async def test_results_refused_at_once_are_all_counted(
    datastore: SqlDatastore, second_datastore: SqlDatastore, job: Job
) -> None:
    """Two APIs that refuse results of one worker at the same time quarantine it, once."""
    jobs = await add_jobs(datastore, await add_workload(datastore), 6)
    leases = [await lease(datastore, each) for each in jobs]
    refused = await asyncio.gather(
        *(
            refuse(store, held)
            for store, held in zip([datastore, second_datastore] * 3, leases, strict=True)
        )
    )
    counted = [each for each in refused if each]
    assert len(counted) >= MOST_REFUSED
    assert [each.quarantined for each in counted].count(True) == 1
    assert await state(datastore) is WorkerState.QUARANTINED
    assert await datastore.leases() == []
    workload = await datastore.workload(jobs[0].original.workload_id)
    assert workload is not None
    assert (workload.counts.pending, workload.counts.leased) == (6, 0)
