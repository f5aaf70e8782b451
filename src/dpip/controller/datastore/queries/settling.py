"""Jobs that settle: their workload counts them, numbers them, and is completed by the last."""

from typing import Any

from sqlalchemy import Connection, bindparam, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.workers import record
from dpip.controller.datastore.tables import workloads
from dpip.errors import NotFound
from dpip.model.activity import Activity, ActivityKind
from dpip.model.job import Failure, JobState


def _count(before: JobState, after: JobState) -> Prepared:
    moved: Any = bindparam("moved")
    return Prepared(
        update(workloads)
        .where(workloads.c.id == bindparam("of_workload"))
        .values(
            {
                workloads.c[before.value]: workloads.c[before.value] - moved,
                workloads.c[after.value]: workloads.c[after.value] + moved,
                workloads.c.settled: workloads.c.settled + moved,
                workloads.c.stored_bytes: workloads.c.stored_bytes + bindparam("more_bytes"),
            }
        )
        .returning(workloads.c.settled, workloads.c.pending, workloads.c.leased)
    )


_COUNT = {
    (before, after): _count(before, after)
    for before, after in (
        (JobState.LEASED, JobState.DONE),
        (JobState.LEASED, JobState.FAILED),
        (JobState.PENDING, JobState.FAILED),
    )
}


def settle(
    connection: Connection,
    workload_id: str,
    before: JobState,
    after: JobState,
    now: float,
    *,
    jobs: int = 1,
    more_bytes: int = 0,
) -> int:
    """Count jobs as settled; the position of the last. Raises ``NotFound`` for the workload."""
    moved = {"of_workload": workload_id, "moved": jobs, "more_bytes": more_bytes}
    row = _COUNT[before, after].row(connection, moved)
    if row is None:
        raise NotFound(kind="workload", id=workload_id)
    if not row.pending and not row.leased:
        record(
            connection,
            Activity(at=now, kind=ActivityKind.WORKLOAD_COMPLETED, subject=workload_id),
        )
    return int(row.settled)


def record_failure(connection: Connection, job_id: str, failure: Failure, now: float) -> None:
    record(
        connection,
        Activity(
            at=now,
            kind=ActivityKind.JOB_FAILED,
            subject=job_id,
            detail=f"{failure.code}: {failure.reason}",
        ),
    )
