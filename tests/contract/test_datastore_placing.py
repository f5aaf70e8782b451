"""What ``dpip.ports.datastore`` promises to whoever places jobs, or explains where they are."""

import math

import msgspec

from dpip.controller.datastore import SqlDatastore
from dpip.model.activity import Activity, ActivityKind
from dpip.model.ids import new_id
from dpip.model.job import (
    MAX_RETRY_DELAY,
    Failure,
    FailureCode,
    JobState,
    PendingJob,
    SettledJob,
    retry_delay,
)
from dpip.model.placement import JobView, PlacedJob, Placement
from dpip.model.requirements import GpuUse, Requirements
from dpip.model.workload import JobCounts, WaitingWorkload
from tests.contract.builders import (
    BROKEN,
    HEADER,
    NO_TERM,
    NOW,
    PIPELINE,
    WHY,
    add_job,
    add_jobs,
    add_workload,
    build_user,
    build_workload,
    complete,
    fail_for_good,
    ids,
    lease,
    pending_ids,
)

DOES_NOT_FIT = Failure(code=FailureCode.DOES_NOT_FIT, reason="No worker has 9 TiB of memory.")


# Workloads that wait


async def test_a_waiting_workload_carries_what_its_share_depends_on(
    datastore: SqlDatastore,
) -> None:
    """Its owner's weight, its requirements and its counts."""
    owner = build_user()
    await datastore.add_user(owner)
    await datastore.set_weight(owner.name, 7)
    requirements = Requirements(
        tags=("gpu", "fast"),
        prefer_tags=("near",),
        gpu=GpuUse.PREFERRED,
        priority=-3,
        weight=9,
        deadline=NOW,
    )
    workload = msgspec.structs.replace(build_workload(owner.id), requirements=requirements)
    await datastore.add_workload(workload)
    jobs = await add_jobs(datastore, workload, 4)
    await lease(datastore, jobs[0])
    await complete(datastore, jobs[1])
    assert await datastore.waiting_workloads() == [
        WaitingWorkload(
            id=workload.id,
            owner_id=owner.id,
            owner_weight=7,
            pipeline=PIPELINE,
            requirements=requirements,
            counts=JobCounts(pending=2, leased=1, done=1),
        )
    ]
    known = await datastore.workload(workload.id)
    assert known is not None
    assert known.requirements == requirements


async def test_workloads_wait_oldest_first(datastore: SqlDatastore) -> None:
    """Those without a pending job do not wait, whatever else they have."""
    workloads = [await add_workload(datastore) for _ in range(6)]
    leased, done, failed, *_ = [await add_job(datastore, each) for each in workloads[:5]]
    await lease(datastore, leased)
    await complete(datastore, done)
    await fail_for_good(datastore, failed)
    assert [each.id for each in await datastore.waiting_workloads()] == ids(workloads[3:5])
    await datastore.remove_workload(workloads[3].id, NOW)
    assert [each.id for each in await datastore.waiting_workloads()] == ids(workloads[4:5])


async def test_a_workload_outlives_its_owners_weight(datastore: SqlDatastore) -> None:
    """Of a user who is gone it is 1."""
    owner = build_user()
    await datastore.add_user(owner)
    await datastore.set_weight(owner.name, 7)
    await add_job(datastore, await add_workload(datastore, owner.id))
    await datastore.remove_user(owner.name)
    (waiting,) = await datastore.waiting_workloads()
    assert (waiting.owner_id, waiting.owner_weight) == (owner.id, 1)


# Jobs that are placed


async def test_a_placed_job_carries_what_a_scheduler_needs_after_a_restart(
    datastore: SqlDatastore,
) -> None:
    """Of the jobs that are asked for, those that are leased; why they were is read back."""
    workload = await add_workload(datastore)
    leased, pending, done, other = await add_jobs(datastore, workload, 4)
    held = await lease(datastore, leased)
    await complete(datastore, done)
    await lease(datastore, other)
    assert await datastore.placed_jobs([leased.id, pending.id, done.id, new_id()]) == [
        PlacedJob(
            lease=held,
            job=PendingJob(
                id=leased.id,
                workload_id=workload.id,
                workload_name=workload.name,
                image_id=leased.original.id,
                pipeline=PIPELINE,
                header=HEADER,
                size=leased.original.size,
                sha256=leased.original.sha256,
            ),
            owner_id=workload.owner_id,
            why=WHY,
        )
    ]
    assert await datastore.placed_jobs([]) == []


async def test_why_a_job_was_placed_may_be_unreadable(datastore: SqlDatastore) -> None:
    """That hides neither the job nor its lease."""
    job = await add_job(datastore)
    unreadable = msgspec.structs.replace(WHY, cpu_milliseconds=math.nan)
    placement = Placement(job_id=job.id, worker="ada", why=unreadable)
    (held,) = await datastore.lease([placement], term=NO_TERM)
    (placed,) = await datastore.placed_jobs([job.id])
    assert (placed.lease, placed.why) == (held, None)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert view.why is None


# Jobs that fit nowhere


async def test_a_job_that_fits_nowhere_fails_without_an_attempt(datastore: SqlDatastore) -> None:
    """At once, with its reason; it is counted, numbered and recorded, and may be tried again."""
    workload = await add_workload(datastore)
    done, unfit, other, fit = await add_jobs(datastore, workload, 4)
    await complete(datastore, done)
    settled = await datastore.fail_pending(
        [other.id, unfit.id], DOES_NOT_FIT, term=NO_TERM, now=NOW
    )
    assert settled == [
        SettledJob(
            position=position,
            image_id=job.original.id,
            state=JobState.FAILED,
            failure=DOES_NOT_FIT,
        )
        for position, job in ((2, unfit), (3, other))
    ]
    assert await datastore.failed_jobs(workload.id) == settled
    assert await datastore.settled_jobs(workload.id, after=1, limit=10) == settled
    assert await pending_ids(datastore) == [fit.id]
    known = await datastore.workload(workload.id)
    assert known is not None
    assert known.counts == JobCounts(pending=1, done=1, failed=2)
    assert await datastore.activities(limit=2) == [
        Activity(
            at=NOW,
            kind=ActivityKind.JOB_FAILED,
            subject=job.id,
            detail="does_not_fit: No worker has 9 TiB of memory.",
        )
        for job in (other, unfit)
    ]
    assert await datastore.retry_failed(workload.id) == 2
    assert (await lease(datastore, unfit)).attempt == 1


async def test_only_a_pending_job_fails_without_an_attempt(datastore: SqlDatastore) -> None:
    """A leased, settled or unknown one is left out, and jobs of several workloads fail together."""
    first, second = [await add_workload(datastore) for _ in range(2)]
    leased, done, unfit = await add_jobs(datastore, first, 3)
    another = await add_job(datastore, second)
    held = await lease(datastore, leased)
    await complete(datastore, done)
    job_ids = [new_id(), *ids([another, leased, done, unfit])]
    settled = await datastore.fail_pending(job_ids, DOES_NOT_FIT, term=NO_TERM, now=NOW)
    assert {job.image_id: job.position for job in settled} == {
        unfit.original.id: 2,
        another.original.id: 1,
    }
    assert await datastore.leases() == [held]
    assert await datastore.fail_pending(job_ids, DOES_NOT_FIT, term=NO_TERM, now=NOW) == []


async def test_the_last_job_that_fits_nowhere_completes_its_workload(
    datastore: SqlDatastore,
) -> None:
    """As any other that settles last does."""
    workload = await add_workload(datastore)
    jobs = await add_jobs(datastore, workload, 2)
    await datastore.fail_pending(ids(jobs), DOES_NOT_FIT, term=NO_TERM, now=NOW)
    recorded = [each.kind for each in await datastore.activities(limit=10)]
    assert recorded.count(ActivityKind.WORKLOAD_COMPLETED) == 1


# What explains a job


async def test_a_pending_job_explains_itself(datastore: SqlDatastore) -> None:
    """By how often it failed, how at last, and when it is tried again."""
    job = await add_job(datastore)
    view = JobView(
        id=job.id,
        workload_id=job.original.workload_id,
        image_id=job.original.id,
        state=JobState.PENDING,
        attempt=0,
        failures=0,
        retry_at=0.0,
    )
    assert await datastore.job_of_image(job.original.id) == view
    await datastore.fail(await lease(datastore, job), BROKEN, jitter=0.0, now=NOW)
    assert await datastore.job_of_image(job.original.id) == msgspec.structs.replace(
        view,
        attempt=1,
        failures=1,
        retry_at=NOW + retry_delay(1, 0.0),
        failure=BROKEN,
        failed_by=("ada",),
    )


async def test_a_leased_job_explains_itself(datastore: SqlDatastore) -> None:
    """By its worker, and why it went there."""
    job = await add_job(datastore)
    await lease(datastore, job)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.state, view.worker, view.why) == (JobState.LEASED, "ada", WHY)
    assert (view.attempt, view.rival) == (1, None)


async def test_a_done_job_explains_itself_by_either_image(datastore: SqlDatastore) -> None:
    """By who did it, why there, and how long it took."""
    job = await add_job(datastore)
    settled = await complete(datastore, job)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.state, view.worker, view.why) == (JobState.DONE, "ada", WHY)
    assert (view.milliseconds, view.position, view.failure) == (12.5, 1, None)
    assert view.filtered_image_id is not None
    assert view.filtered_image_id == settled.filtered_image_id
    assert await datastore.job_of_image(view.filtered_image_id) == view


async def test_a_failed_job_explains_itself(datastore: SqlDatastore) -> None:
    """By its last failure, and where that was."""
    job = await add_job(datastore)
    await fail_for_good(datastore, job)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.state, view.failure, view.failures) == (JobState.FAILED, BROKEN, 3)
    assert (view.worker, view.why, view.position) == ("ada", WHY, 1)


async def test_a_job_that_waits_again_is_placed_nowhere(datastore: SqlDatastore) -> None:
    """What is known of its former place is gone."""
    job = await add_job(datastore)
    await datastore.give_back(await lease(datastore, job))
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.worker, view.why) == (None, None)
    await fail_for_good(datastore, job)
    await datastore.retry_failed(job.original.workload_id)
    view = await datastore.job_of_image(job.original.id)
    assert view is not None
    assert (view.worker, view.why, view.failure) == (None, None, None)


async def test_an_unknown_image_has_no_job(datastore: SqlDatastore) -> None:
    """Neither has one of a workload that was removed."""
    assert await datastore.job_of_image(new_id()) is None
    job = await add_job(datastore)
    await datastore.remove_workload(job.original.workload_id, NOW)
    assert await datastore.job_of_image(job.original.id) is None


async def test_the_jobs_before_one_are_counted(datastore: SqlDatastore) -> None:
    """Pending ones of the same workload that were uploaded earlier, delayed ones too."""
    workload, another = [await add_workload(datastore) for _ in range(2)]
    leased, delayed, done, waiting, asked, _ = await add_jobs(datastore, workload, 6)
    await add_jobs(datastore, another, 2)
    await datastore.fail(await lease(datastore, delayed), BROKEN, jitter=0.0, now=NOW)
    await lease(datastore, leased)
    await complete(datastore, done)
    assert await pending_ids(datastore, NOW + MAX_RETRY_DELAY)
    assert await datastore.jobs_before(asked.id) == 2
    assert await datastore.jobs_before(waiting.id) == 1
    assert await datastore.jobs_before(new_id()) == 0


# What jobs take


async def test_cost_models_are_kept_by_key(datastore: SqlDatastore) -> None:
    """A later one replaces an earlier one of its key, and the others stay."""
    assert await datastore.cost_models() == {}
    await datastore.keep_cost_models({"blur jpeg": "1", "grayscale": "2"})
    await datastore.keep_cost_models({"blur jpeg": "3", "naïve / 名前": "4"})
    await datastore.keep_cost_models({})
    assert await datastore.cost_models() == {
        "blur jpeg": "3",
        "grayscale": "2",
        "naïve / 名前": "4",
    }
