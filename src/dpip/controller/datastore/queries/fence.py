"""The fence: whether an attempt holds the lease on its job.

Everything that a worker or the reaper does to a leased job is compared on this, in the same
statement that does it. So an attempt that was given up for lost changes nothing when it comes back.
"""

from typing import Any

from sqlalchemy import and_, bindparam

from dpip.controller.datastore.tables import jobs
from dpip.model.job import JobState, Lease

IS_HELD = and_(
    jobs.c.id == bindparam("held_job"),
    jobs.c.attempt == bindparam("held_attempt"),
    jobs.c.worker == bindparam("held_worker"),
    jobs.c.state == JobState.LEASED.value,
)


def blanks(lease: Lease) -> dict[str, Any]:
    """What the blanks of ``IS_HELD`` are filled with."""
    return {
        "held_job": lease.job_id,
        "held_attempt": lease.attempt,
        "held_worker": lease.worker,
    }
