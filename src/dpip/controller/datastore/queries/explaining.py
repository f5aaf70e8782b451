"""What explains a job."""

from sqlalchemy import Connection, bindparam, func, or_, select

from dpip.controller.datastore.queries.jobs import failed_by_in
from dpip.controller.datastore.queries.placing import leases_in, why_in
from dpip.controller.datastore.tables import images, jobs
from dpip.model.job import Failure, FailureCode, JobState
from dpip.model.note import notes_in_text
from dpip.model.placement import JobView

_JOB_OF_IMAGE = (
    select(jobs, images.c.notes)
    .outerjoin_from(jobs, images, jobs.c.filtered_image_id == images.c.id)
    .where(
        or_(jobs.c.image_id == bindparam("wanted"), jobs.c.filtered_image_id == bindparam("wanted"))
    )
)
_OF_JOB = select(jobs.c.workload_id).where(jobs.c.id == bindparam("wanted")).scalar_subquery()
_JOBS_BEFORE = (
    select(func.count())
    .select_from(jobs)
    .where(
        jobs.c.workload_id == _OF_JOB,
        jobs.c.state == JobState.PENDING.value,
        jobs.c.id < bindparam("wanted"),
    )
)


def job_of_image(connection: Connection, image_id: str) -> JobView | None:
    row = connection.execute(_JOB_OF_IMAGE, {"wanted": image_id}).one_or_none()
    if row is None:
        return None
    rival = next((held for held in leases_in(row) if held.attempt == row.rival_attempt), None)
    failure = None
    if row.failure_code is not None:
        failure = Failure(code=FailureCode(row.failure_code), reason=row.failure_reason)
    return JobView(
        id=row.id,
        workload_id=row.workload_id,
        image_id=row.image_id,
        state=JobState(row.state),
        attempt=row.attempt,
        failures=row.failures,
        retry_at=row.retry_at,
        worker=row.worker,
        rival=rival,
        why=why_in(row.rival_why if rival and row.worker is None else row.why),
        failure=failure,
        failed_by=tuple(failed_by_in(row.failed_by)),
        milliseconds=row.milliseconds,
        position=row.position,
        filtered_image_id=row.filtered_image_id,
        notes=notes_in_text(row.notes or ""),
    )


def jobs_before(connection: Connection, job_id: str) -> int:
    return int(connection.scalar(_JOBS_BEFORE, {"wanted": job_id}) or 0)
