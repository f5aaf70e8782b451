"""Rows made again of files that were found, and put right where files were lost."""

from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from dpip.controller.datastore.queries.locks import lock_workload
from dpip.controller.datastore.queries.settling import record_failure
from dpip.controller.datastore.queries.workloads import image_in, insert_image
from dpip.controller.datastore.tables import images, jobs, workloads
from dpip.model.image import Image, ImageKind
from dpip.model.job import Failure, JobState

_IMAGES_AFTER = (
    select(images, workloads.c.name, workloads.c.owner_id)
    .join_from(images, workloads, images.c.workload_id == workloads.c.id)
    .where(images.c.id > bindparam("after"))
    .order_by(images.c.id)
    .limit(bindparam("most"))
)
_RESULTS_OF = (
    select(images, workloads.c.name, workloads.c.owner_id)
    .join_from(images, workloads, images.c.workload_id == workloads.c.id)
    .where(images.c.workload_id == bindparam("wanted"), images.c.kind == ImageKind.FILTERED.value)
)
_NOT_LEASED: dict[str, Any] = {
    "worker": None,
    "why": None,
    "rival_attempt": None,
    "rival_worker": None,
    "rival_why": None,
}


def images_after(connection: Connection, image_id: str, limit: int) -> list[Image]:
    rows = connection.execute(_IMAGES_AFTER, {"after": image_id, "most": limit})
    return [image_in(row) for row in rows]


def results_of(connection: Connection, workload_id: str) -> list[Image]:
    return [image_in(row) for row in connection.execute(_RESULTS_OF, {"wanted": workload_id})]


def add_found_result(connection: Connection, result: Image) -> bool:
    lock_workload(connection, result.workload_id)
    job = _job(connection, jobs.c.image_id == result.source_id)
    if job is None or job.state == JobState.DONE.value:
        return False
    insert_image(connection, result)
    _move(
        connection,
        job,
        JobState.DONE,
        more_bytes=result.size,
        filtered_image_id=result.id,
        failure_code=None,
        failure_reason=None,
    )
    return True


def forget_lost_result(connection: Connection, result: Image) -> None:
    lock_workload(connection, result.workload_id)
    job = _job(connection, jobs.c.filtered_image_id == result.id)
    if job is not None:
        _move(
            connection,
            job,
            JobState.PENDING,
            more_bytes=-result.size,
            filtered_image_id=None,
            milliseconds=None,
            failures=0,
            retry_at=0.0,
        )
    connection.execute(delete(images).where(images.c.id == result.id))


def fail_without_original(
    connection: Connection, original: Image, failure: Failure, now: float
) -> bool:
    lock_workload(connection, original.workload_id)
    job = _job(connection, jobs.c.image_id == original.id)
    if job is None or job.state == JobState.DONE.value:
        return False
    if job.state != JobState.FAILED.value or job.failure_code != failure.code.value:
        _move(
            connection,
            job,
            JobState.FAILED,
            failure_code=failure.code.value,
            failure_reason=failure.reason,
        )
        record_failure(connection, job.id, failure, now)
    return True


def _job(connection: Connection, condition: Any) -> Any:
    return connection.execute(select(jobs).where(condition)).one_or_none()


def _move(
    connection: Connection, job: Any, after: JobState, *, more_bytes: int = 0, **values: object
) -> None:
    """Move a job to another state, with the counts of its workload, and end its leases."""
    is_settled = after is not JobState.PENDING
    counts: dict[str, Any] = {
        "stored_bytes": workloads.c.stored_bytes + more_bytes,
        "settled": workloads.c.settled + int(is_settled),
        "started": True,
    }
    if job.state != after.value:
        counts[job.state] = workloads.c[job.state] - 1
        counts[after.value] = workloads.c[after.value] + 1
    position = connection.scalar(
        update(workloads)
        .where(workloads.c.id == job.workload_id)
        .values(counts)
        .returning(workloads.c.settled)
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id)
        .values(
            state=after.value, position=position if is_settled else None, **_NOT_LEASED, **values
        )
    )
