"""Locks on workloads, under which none of their leases ends."""

from sqlalchemy import Connection, bindparam, select

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.tables import jobs, workloads
from dpip.errors import NotFound

_LOCK_WORKLOAD = Prepared(
    select(workloads.c.name).where(workloads.c.id == bindparam("wanted")).with_for_update()
)
_LOCK_WORKLOAD_OF = Prepared(
    select(workloads.c.id)
    .where(
        workloads.c.id
        == select(jobs.c.workload_id).where(jobs.c.id == bindparam("of_job")).scalar_subquery()
    )
    .with_for_update()
)


def lock_workload(connection: Connection, workload_id: str) -> str:
    """Have no job of the workload move before the transaction ends; the workload's name."""
    name: str | None = _LOCK_WORKLOAD.value(connection, {"wanted": workload_id})
    if name is None:
        raise NotFound(kind="workload", id=workload_id)
    return name


def lock_workload_of(connection: Connection, job_id: str) -> None:
    """Have no lease on the job end, nor a second one be granted, before the transaction ends."""
    _LOCK_WORKLOAD_OF.rows(connection, {"of_job": job_id})
