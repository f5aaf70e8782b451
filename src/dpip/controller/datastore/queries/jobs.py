"""The life of jobs. Every move is a compare-and-set on (job, attempt, state).

Locks are taken in one order everywhere, the workload before its jobs, except for jobs that are
pending, which only ``lease`` moves.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select, update

from dpip.controller.datastore.queries.workers import record
from dpip.controller.datastore.queries.workloads import (
    header_in,
    image_in,
    insert_image,
    settled_job,
)
from dpip.controller.datastore.tables import images, jobs, workloads
from dpip.errors import StaleAttempt
from dpip.model.activity import Activity, ActivityKind
from dpip.model.image import Image
from dpip.model.job import (
    MAX_FAILURES,
    MAX_RETRY_DELAY,
    Failure,
    JobState,
    Lease,
    PendingJob,
    SettledJob,
    retry_delay,
)


def pending_jobs(connection: Connection, now: float, limit: int) -> list[PendingJob]:
    query = (
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
        .where(or_(jobs.c.retry_at <= now, jobs.c.retry_at > now + MAX_RETRY_DELAY))
        .order_by(jobs.c.id)
        .limit(limit)
    )
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
        for row in connection.execute(query)
    ]


def lease(connection: Connection, placements: Sequence[tuple[str, str]]) -> list[Lease]:
    jobs_of: dict[str, list[str]] = defaultdict(list)
    for job_id, worker in placements:
        jobs_of[worker].append(job_id)
    leases = []
    leased_of_workload: Counter[str] = Counter()
    for worker, job_ids in jobs_of.items():
        moved = connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(job_ids), jobs.c.state == JobState.PENDING.value)
            .values(state=JobState.LEASED.value, worker=worker, attempt=jobs.c.attempt + 1)
            .returning(jobs.c.id, jobs.c.attempt, jobs.c.workload_id)
        )
        for row in moved:
            leases.append(Lease(job_id=row.id, attempt=row.attempt, worker=worker))
            leased_of_workload[row.workload_id] += 1
    for workload_id, count in sorted(leased_of_workload.items()):
        connection.execute(
            update(workloads)
            .where(workloads.c.id == workload_id)
            .values(
                started=True,
                pending=workloads.c.pending - count,
                leased=workloads.c.leased + count,
            )
        )
    return leases


def leases(connection: Connection) -> list[Lease]:
    query = select(jobs.c.id, jobs.c.attempt, jobs.c.worker).where(
        jobs.c.state == JobState.LEASED.value
    )
    return [
        Lease(job_id=row.id, attempt=row.attempt, worker=row.worker)
        for row in connection.execute(query)
    ]


def leased_image(connection: Connection, image_id: str, worker: str) -> bool:
    query = select(jobs.c.id).where(
        jobs.c.image_id == image_id,
        jobs.c.worker == worker,
        jobs.c.state == JobState.LEASED.value,
    )
    return connection.scalar(query) is not None


def lease_of(connection: Connection, job_id: str) -> tuple[Lease, Image] | None:
    row = connection.execute(
        select(jobs.c.attempt, jobs.c.worker, images, workloads.c.name, workloads.c.owner_id)
        .join_from(jobs, images, jobs.c.image_id == images.c.id)
        .join(workloads, jobs.c.workload_id == workloads.c.id)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.LEASED.value)
    ).one_or_none()
    if row is None:
        return None
    return Lease(job_id=job_id, attempt=row.attempt, worker=row.worker), image_in(row)


def complete(
    connection: Connection, held: Lease, filtered: Image, milliseconds: float, now: float
) -> SettledJob:
    position = _settle(connection, filtered.workload_id, JobState.DONE, now)
    insert_image(connection, filtered)
    row = connection.execute(
        update(jobs)
        .where(*_is_held(held), jobs.c.workload_id == filtered.workload_id)
        .values(
            state=JobState.DONE.value,
            position=position,
            filtered_image_id=filtered.id,
            milliseconds=milliseconds,
            failure_code=None,
            failure_reason=None,
        )
        .returning(jobs)
    ).one_or_none()
    if row is None:
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    return settled_job(row)


def give_back(connection: Connection, held: Lease) -> bool:
    job = connection.execute(_held_job(held)).one_or_none()
    if job is None:
        return False
    return _return_to_pending(connection, held, job.workload_id, {})


def fail(
    connection: Connection, held: Lease, failure: Failure, jitter: float, now: float
) -> JobState | None:
    job = connection.execute(_held_job(held)).one_or_none()
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
    what["position"] = _settle(connection, job.workload_id, JobState.FAILED, now)
    moved = connection.execute(
        update(jobs).where(*_is_held(held)).values(state=JobState.FAILED.value, **what)
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


def _is_held(held: Lease) -> Iterable[ColumnElement[bool]]:
    return (
        jobs.c.id == held.job_id,
        jobs.c.attempt == held.attempt,
        jobs.c.worker == held.worker,
        jobs.c.state == JobState.LEASED.value,
    )


def _held_job(held: Lease) -> Select[Any]:
    return select(jobs.c.workload_id, jobs.c.failures).where(*_is_held(held))


def _return_to_pending(
    connection: Connection, held: Lease, workload_id: str, what: dict[str, object]
) -> bool:
    connection.execute(
        update(workloads)
        .where(workloads.c.id == workload_id)
        .values(pending=workloads.c.pending + 1, leased=workloads.c.leased - 1)
    )
    moved = connection.execute(
        update(jobs)
        .where(*_is_held(held))
        .values(state=JobState.PENDING.value, worker=None, **what)
    )
    if not moved.rowcount:
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    return True


def _settle(connection: Connection, workload_id: str, state: JobState, now: float) -> int:
    """Count a leased job of the workload as settled and return its position."""
    counter = workloads.c[state.value]
    row = connection.execute(
        update(workloads)
        .where(workloads.c.id == workload_id)
        .values(
            {
                workloads.c.leased: workloads.c.leased - 1,
                counter: counter + 1,
                workloads.c.settled: workloads.c.settled + 1,
            }
        )
        .returning(workloads.c.settled, workloads.c.pending, workloads.c.leased)
    ).one()
    if not row.pending and not row.leased:
        record(
            connection,
            Activity(at=now, kind=ActivityKind.WORKLOAD_COMPLETED, subject=workload_id),
        )
    return int(row.settled)
