"""Locks on workloads, under which none of their leases ends."""

from sqlalchemy import Connection, bindparam, select

from dpip.controller.datastore.tables import jobs, workloads
from dpip.errors import NotFound

_LOCK_WORKLOAD_OF = (
    select(workloads.c.id)
    .where(
        workloads.c.id
        == select(jobs.c.workload_id).where(jobs.c.id == bindparam("of_job")).scalar_subquery()
    )
    .with_for_update()
)


def lock_workload(connection: Connection, workload_id: str) -> str:
    """Have no job of the workload move before the transaction ends; the workload's name."""
    query = select(workloads.c.name).where(workloads.c.id == workload_id).with_for_update()
    name: str | None = connection.scalar(query)
    if name is None:
        raise NotFound(kind="workload", id=workload_id)
    return name


def lock_workload_of(connection: Connection, job_id: str) -> None:
    """Have no lease on the job end, nor a second one be granted, before the transaction ends."""
    connection.execute(_LOCK_WORKLOAD_OF, {"of_job": job_id})
