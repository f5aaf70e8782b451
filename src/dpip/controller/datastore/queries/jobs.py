"""How leases end. Every move is a compare-and-set on (job, attempt, worker, state).

The workload is locked before its jobs, so that of two leases on one job one ends after the other.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, case, or_, select, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.fence import IS_HELD, blanks
from dpip.controller.datastore.queries.locks import lock_workload_of
from dpip.controller.datastore.queries.settling import record_failure, settle
from dpip.controller.datastore.queries.workloads import (
    image_in,
    insert_image,
    settled_job,
)
from dpip.controller.datastore.tables import images, jobs, workloads
from dpip.errors import NotFound, StaleAttempt
from dpip.model.image import Image
from dpip.model.job import (
    MAX_FAILURES,
    Failure,
    FailureCode,
    JobState,
    Lease,
    LeasedJob,
    SettledJob,
    retry_delay,
)

_LEASED_IMAGE = Prepared(
    select(jobs.c.id).where(
        jobs.c.image_id == bindparam("wanted"),
        or_(jobs.c.worker == bindparam("by_worker"), jobs.c.rival_worker == bindparam("by_worker")),
        jobs.c.state == JobState.LEASED.value,
    )
)
_LEASED_JOB = Prepared(
    select(images, workloads.c.name, workloads.c.owner_id, workloads.c.pipeline)
    .join_from(jobs, images, jobs.c.image_id == images.c.id)
    .join(workloads, jobs.c.workload_id == workloads.c.id)
    .where(IS_HELD)
)
_HELD_JOB = select(
    jobs.c.workload_id,
    jobs.c.failures,
    jobs.c.worker,
    jobs.c.rival_attempt,
    jobs.c.rival_worker,
    jobs.c.failed_by,
).where(IS_HELD)
_NO_RIVAL: dict[str, Any] = {"rival_attempt": None, "rival_worker": None, "rival_why": None}
_RETURN = (
    update(jobs)
    .where(IS_HELD)
    .values(state=JobState.PENDING.value, worker=None, why=None, **_NO_RIVAL)
)
_SETTLE = (
    update(jobs)
    .where(IS_HELD)
    .values(
        worker=bindparam("by_worker"),
        why=case(
            (jobs.c.rival_attempt == bindparam("by_attempt"), jobs.c.rival_why), else_=jobs.c.why
        ),
        position=bindparam("at_position"),
        **_NO_RIVAL,
    )
)
_COMPLETE = Prepared(
    _SETTLE.where(jobs.c.workload_id == bindparam("of_workload"))
    .values(
        state=JobState.DONE.value,
        filtered_image_id=bindparam("result"),
        milliseconds=bindparam("took"),
        failure_code=None,
        failure_reason=None,
    )
    .returning(jobs)
)
_COUNT_RETURNED = (
    update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(pending=workloads.c.pending + 1, leased=workloads.c.leased - 1)
)


def leased_image(connection: Connection, image_id: str, worker: str) -> bool:
    wanted = {"wanted": image_id, "by_worker": worker}
    return _LEASED_IMAGE.row(connection, wanted) is not None


def leased_job(connection: Connection, held: Lease) -> LeasedJob | None:
    row = _LEASED_JOB.row(connection, blanks(held))
    return LeasedJob(original=image_in(row), pipeline=row.pipeline) if row else None


def complete(
    connection: Connection, held: Lease, filtered: Image, milliseconds: float, now: float
) -> tuple[SettledJob, dict[str, FailureCode]]:
    """Finish the job; which workers have failed it before is told, too."""
    workload_id = filtered.workload_id
    try:
        position = settle(
            connection, workload_id, JobState.LEASED, JobState.DONE, now, more_bytes=filtered.size
        )
    except NotFound as gone:  # The workload was removed.
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt) from gone
    insert_image(connection, filtered)
    result = {"of_workload": workload_id, "result": filtered.id, "took": milliseconds}
    row = _COMPLETE.row(connection, _settled_by(held, position) | result)
    if row is None:
        raise StaleAttempt(job_id=held.job_id, attempt=held.attempt)
    settled = settled_job(row, filtered.header.format, filtered.sha256, filtered.notes)
    return settled, failed_by_in(row.failed_by)


def give_back(connection: Connection, held: Lease) -> bool:
    job = _held_job(connection, held)
    if job is None:
        return False
    if not _leave_to_the_other(connection, held, job, {}):
        _return_to_pending(connection, held, job.workload_id, {})
    return True


def fail(
    connection: Connection, held: Lease, failure: Failure, jitter: float, now: float
) -> JobState | None:
    job = _held_job(connection, held)
    if job is None:
        return None
    what: dict[str, object] = {
        "failed_by": _with_one_more(job.failed_by, held.worker, failure.code)
    }
    if _leave_to_the_other(connection, held, job, what):
        return JobState.LEASED
    failures = job.failures + 1
    what |= {
        "failures": failures,
        "failure_code": failure.code.value,
        "failure_reason": failure.reason,
    }
    if failures < MAX_FAILURES:
        what["retry_at"] = now + retry_delay(failures, jitter)
        _return_to_pending(connection, held, job.workload_id, what)
        return JobState.PENDING
    position = settle(connection, job.workload_id, JobState.LEASED, JobState.FAILED, now)
    connection.execute(
        _SETTLE.values(state=JobState.FAILED.value, **what), _settled_by(held, position)
    )
    record_failure(connection, held.job_id, failure, now)
    return JobState.FAILED


def _held_job(connection: Connection, held: Lease) -> Any:
    """The job, if the lease is held; then no other transaction ends a lease on it before this."""
    lock_workload_of(connection, held.job_id)
    return connection.execute(_HELD_JOB, blanks(held)).one_or_none()


def _leave_to_the_other(
    connection: Connection, held: Lease, job: Any, what: dict[str, object]
) -> bool:
    """End one lease of a job that is leased twice; whether it is."""
    if job.worker is None or job.rival_worker is None:
        return False
    is_rival = held.attempt == job.rival_attempt
    ended = _NO_RIVAL if is_rival else {"worker": None, "why": None}
    connection.execute(update(jobs).where(IS_HELD).values(ended | what), blanks(held))
    return True


def _return_to_pending(
    connection: Connection, held: Lease, workload_id: str, what: dict[str, object]
) -> None:
    connection.execute(_COUNT_RETURNED, {"of_workload": workload_id})
    connection.execute(_RETURN.values(what), blanks(held))


def failed_by_in(kept: str | None) -> dict[str, FailureCode]:
    """The workers that have failed a job, the latest last, each with the code of its failure."""
    return msgspec.json.decode(kept, type=dict[str, FailureCode]) if kept else {}


def _with_one_more(kept: str | None, worker: str, code: FailureCode) -> str:
    failed_by = failed_by_in(kept)
    failed_by.pop(worker, None)
    latest = [*failed_by.items(), (worker, code)][-MAX_FAILURES:]
    return msgspec.json.encode(dict(latest)).decode()


def _settled_by(held: Lease, position: int) -> dict[str, Any]:
    return {
        **blanks(held),
        "by_worker": held.worker,
        "by_attempt": held.attempt,
        "at_position": position,
    }
