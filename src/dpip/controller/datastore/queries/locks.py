"""Locks on workloads, under which none of their leases ends, and on their owners."""

from sqlalchemy import Connection, bindparam, select

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.tables import jobs, users, workloads
from dpip.errors import NotFound

_LOCK_WORKLOAD = Prepared(
    select(workloads.c.name).where(workloads.c.id == bindparam("wanted")).with_for_update()
)
_LOCK_OWNER = Prepared(
    # Without its key, which the rows of the user's tokens refer to.
    select(users.c.id).where(users.c.id == bindparam("wanted")).with_for_update(key_share=True)
)
_LOCK_WORKLOAD_OF = Prepared(
    select(workloads.c.id)
    .where(
        workloads.c.id
        == select(jobs.c.workload_id).where(jobs.c.id == bindparam("of_job")).scalar_subquery()
    )
    .with_for_update()
)


def lock_owner(connection: Connection, user_id: str) -> None:
    """Have nobody else count what the user takes up before the transaction ends."""
    _LOCK_OWNER.rows(connection, {"wanted": user_id})


def lock_workload(connection: Connection, workload_id: str) -> str:
    """Have no job of the workload move before the transaction ends; the workload's name."""
    name: str | None = _LOCK_WORKLOAD.value(connection, {"wanted": workload_id})
    if name is None:
        raise NotFound(kind="workload", id=workload_id)
    return name


def lock_workload_of(connection: Connection, job_id: str) -> None:
    """Have no lease on the job end, nor a second one be granted, before the transaction ends."""
    _LOCK_WORKLOAD_OF.rows(connection, {"of_job": job_id})
