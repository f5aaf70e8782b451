"""The life of jobs. Every move is a compare-and-set on (job, attempt, state).

Locks are taken in one order everywhere, the workload before its jobs, except for jobs that are
pending, which only ``lease`` moves.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, or_, select, update

from dpip.controller.datastore.queries.fence import IS_HELD, blanks
from dpip.controller.datastore.queries.workers import record
from dpip.controller.datastore.queries.workloads import (
    header_in,
    image_in,
    insert_image,
    settled_job,
)
from dpip.controller.datastore.tables import images, jobs, workers, workloads
from dpip.errors import StaleAttempt
from dpip.model.activity import Activity, ActivityKind
from dpip.model.image import Image
from dpip.model.job import (
    MAX_FAILURES,
    MAX_RETRY_DELAY,
    Failure,
    JobState,
    Lease,
    LeasedJob,
    PendingJob,
    SettledJob,
    retry_delay,
)
from dpip.model.worker import WorkerState

_PENDING_JOBS = (
    select(
        jobs.c.id.label("job_id"),
        jobs.c.workload_id,
        jobs.c.image_id,
        jobs.c.failures,
        workloads.c.pipeline,
        images,
    )
    .join_from(jobs, workloads, jobs.c.workload_id == workloads.c.id)
    .join(images, jobs.c.image_id == images.c.id)
    .where(jobs.c.state == JobState.PENDING.value)
    .where(or_(jobs.c.retry_at <= bindparam("now"), jobs.c.retry_at > bindparam("too_late")))
    .order_by(jobs.c.id)
    .limit(bindparam("most"))
)
_LOCK_PENDING = (
    select(jobs.c.id)
    .where(
        jobs.c.id.in_(bindparam("job_ids", expanding=True)),
        jobs.c.state == JobState.PENDING.value,
    )
    .order_by(jobs.c.id)
    .with_for_update()
)
_PENDING_COUNT = select(func.sum(workloads.c.pending)).where(
    or_(workloads.c.pending > 0, workloads.c.leased > 0)  # As in the index of these.
)
_QUARANTINED = select(workers.c.name).where(
    workers.c.name.in_(bindparam("names", expanding=True)),
    workers.c.state == WorkerState.QUARANTINED.value,
)
_LEASE = (
    update(jobs)
    .where(
        jobs.c.id.in_(bindparam("job_ids", expanding=True)),
        jobs.c.state == JobState.PENDING.value,
    )
    .values(state=JobState.LEASED.value, worker=bindparam("to_worker"), attempt=jobs.c.attempt + 1)
    .returning(jobs.c.id, jobs.c.attempt, jobs.c.workload_id)
)
_COUNT_LEASED = (
    update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(
        started=True,
        pending=workloads.c.pending - bindparam("moved"),
        leased=workloads.c.leased + bindparam("moved"),
    )
)
_LEASES = select(jobs.c.id, jobs.c.attempt, jobs.c.worker).where(
    jobs.c.state == JobState.LEASED.value
)
_LEASED_IMAGE = select(jobs.c.id).where(
    jobs.c.image_id == bindparam("wanted"),
    jobs.c.worker == bindparam("by_worker"),
    jobs.c.state == JobState.LEASED.value,
)
_LEASED_JOB = (
    select(images, workloads.c.name, workloads.c.owner_id, workloads.c.pipeline)
    .join_from(jobs, images, jobs.c.image_id == images.c.id)
    .join(workloads, jobs.c.workload_id == workloads.c.id)
    .where(IS_HELD)
)
_HELD_JOB = select(jobs.c.workload_id, jobs.c.failures).where(IS_HELD)
_COMPLETE = (
    update(jobs)
    .where(IS_HELD, jobs.c.workload_id == bindparam("of_workload"))
    .values(
        state=JobState.DONE.value,
        position=bindparam("at_position"),
        filtered_image_id=bindparam("result"),
        milliseconds=bindparam("took"),
        failure_code=None,
        failure_reason=None,
    )
    .returning(jobs)
)
_FORGIVE = (
    update(workers)
    .where(workers.c.name == bindparam("by_worker"), workers.c.refused_jobs.is_not(None))
    .values(refused_jobs=None)
)
_COUNT_RETURNED = (
    update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(pending=workloads.c.pending + 1, leased=workloads.c.leased - 1)
)
_COUNT_SETTLED = {
    state: update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(
        {
            workloads.c.leased: workloads.c.leased - 1,
            workloads.c[state.value]: workloads.c[state.value] + 1,
            workloads.c.settled: workloads.c.settled + 1,
            workloads.c.stored_bytes: workloads.c.stored_bytes + bindparam("more_bytes"),
        }
    )
    .returning(workloads.c.settled, workloads.c.pending, workloads.c.leased)
    for state in (JobState.DONE, JobState.FAILED)
}


def pending_jobs(connection: Connection, now: float, limit: int) -> list[PendingJob]:
    window = {"now": now, "too_late": now + MAX_RETRY_DELAY, "most": limit}
    return [
        PendingJob(
            id=row.job_id,
            workload_id=row.workload_id,
            image_id=row.image_id,
            pipeline=row.pipeline,
            header=header_in(row),
            size=row.size,
            failures=row.failures,
        )
        for row in connection.execute(_PENDING_JOBS, window)
    ]


def pending_count(connection: Connection) -> int:
    return int(connection.scalar(_PENDING_COUNT) or 0)


def lease(connection: Connection, placements: Sequence[tuple[str, str]]) -> list[Lease]:
    jobs_of: dict[str, list[str]] = defaultdict(list)
    # Locked in one order, so that two who lease the same jobs do not wait for each other.
    wanted = {"job_ids": [job_id for job_id, _ in placements]}
    still_pending = set(connection.scalars(_LOCK_PENDING, wanted))
    named = {"names": list({worker for _, worker in placements})}
    quarantined = set(connection.scalars(_QUARANTINED, named))
    for job_id, worker in placements:
        if job_id in still_pending and worker not in quarantined:
            jobs_of[worker].append(job_id)
    leases = []
    leased_of_workload: Counter[str] = Counter()
    for worker, job_ids in jobs_of.items():
        moved = connection.execute(_LEASE, {"job_ids": job_ids, "to_worker": worker})
        for row in moved:
            leases.append(Lease(job_id=row.id, attempt=row.attempt, worker=worker))
            leased_of_workload[row.workload_id] += 1
    for workload_id, count in sorted(leased_of_workload.items()):
        connection.execute(_COUNT_LEASED, {"of_workload": workload_id, "moved": count})
    return leases


def leases(connection: Connection) -> list[Lease]:
    return [
        Lease(job_id=row.id, attempt=row.attempt, worker=row.worker)
        for row in connection.execute(_LEASES)
    ]


def leased_image(connection: Connection, image_id: str, worker: str) -> bool:
    wanted = {"wanted": image_id, "by_worker": worker}
    return connection.scalar(_LEASED_IMAGE, wanted) is not None


def leased_job(connection: Connection, held: Lease) -> LeasedJob | None:
    row = connection.execute(_LEASED_JOB, blanks(held)).one_or_none()
    return LeasedJob(original=image_in(row), pipeline=row.pipeline) if row else None


def complete(
    connection: Connection, held: Lease, filtered: Image, milliseconds: float, now: float
) -> SettledJob:
    position = _settle(
        connection, held, filtered.workload_id, JobState.DONE, now, more_bytes=filtered.size
    )
    insert_image(connection, filtered)
    row = connection.execute(
        _COMPLETE,
        {
            **blanks(held),
            "of_workload": filtered.workload_id,
            "at_position": position,
            "result": filtered.id,
            "took": milliseconds,
        },
    ).one_or_none()
    if row is None:
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    connection.execute(_FORGIVE, {"by_worker": held.worker})
    return settled_job(row)


def give_back(connection: Connection, held: Lease) -> bool:
    job = connection.execute(_HELD_JOB, blanks(held)).one_or_none()
    if job is None:
        return False
    return _return_to_pending(connection, held, job.workload_id, {})


def fail(
    connection: Connection, held: Lease, failure: Failure, jitter: float, now: float
) -> JobState | None:
    job = connection.execute(_HELD_JOB, blanks(held)).one_or_none()
    if job is None:
        return None
    failures = job.failures + 1
    what = {
        "failures": failures,
        "failure_code": failure.code.value,
        "failure_reason": failure.reason,
    }
    if failures < MAX_FAILURES:
        what["retry_at"] = now + retry_delay(failures, jitter)
        returned = _return_to_pending(connection, held, job.workload_id, what)
        return JobState.PENDING if returned else None
    what["position"] = _settle(connection, held, job.workload_id, JobState.FAILED, now)
    moved = connection.execute(
        update(jobs).where(IS_HELD).values(state=JobState.FAILED.value, **what), blanks(held)
    )
    if not moved.rowcount:
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    record(
        connection,
        Activity(
            at=now,
            kind=ActivityKind.JOB_FAILED,
            subject=held.job_id,
            detail=f"{failure.code}: {failure.reason}",
        ),
    )
    return JobState.FAILED


def _return_to_pending(
    connection: Connection, held: Lease, workload_id: str, what: dict[str, object]
) -> bool:
    connection.execute(_COUNT_RETURNED, {"of_workload": workload_id})
    moved = connection.execute(
        update(jobs).where(IS_HELD).values(state=JobState.PENDING.value, worker=None, **what),
        blanks(held),
    )
    if not moved.rowcount:
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    return True


def _settle(
    connection: Connection,
    held: Lease,
    workload_id: str,
    state: JobState,
    now: float,
    *,
    more_bytes: int = 0,
) -> int:
    """Count a leased job of the workload as settled and return its position."""
    more = {"of_workload": workload_id, "more_bytes": more_bytes}
    row = connection.execute(_COUNT_SETTLED[state], more).one_or_none()
    if row is None:  # The workload was removed.
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    if not row.pending and not row.leased:
        record(
            connection,
            Activity(at=now, kind=ActivityKind.WORKLOAD_COMPLETED, subject=workload_id),
        )
    return int(row.settled)
