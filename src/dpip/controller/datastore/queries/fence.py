"""The fence: whether an attempt holds a lease on its job.

Everything that a worker or the reaper does to a leased job is compared on this, in the same
statement that does it. So an attempt that was given up for lost changes nothing when it comes back.
Before that, the token of a worker that is gone ends: what it still sends is not even looked at.
"""

from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_

from dpip.controller.datastore.tables import jobs, tokens
from dpip.model.job import JobState, Lease

_ATTEMPT: Any = bindparam("held_attempt")
_WORKER: Any = bindparam("held_worker")

IS_HELD = and_(
    jobs.c.id == bindparam("held_job"),
    or_(
        and_(jobs.c.attempt == _ATTEMPT, jobs.c.worker == _WORKER),
        and_(jobs.c.rival_attempt == _ATTEMPT, jobs.c.rival_worker == _WORKER),
    ),
    jobs.c.state == JobState.LEASED.value,
)


def blanks(lease: Lease) -> dict[str, Any]:
    """What the blanks of ``IS_HELD`` are filled with."""
    return {
        "held_job": lease.job_id,
        "held_attempt": lease.attempt,
        "held_worker": lease.worker,
    }


def shut_out(connection: Connection, worker: str) -> None:
    """End the token of a worker that is gone."""
    connection.execute(delete(tokens).where(tokens.c.worker == worker))
