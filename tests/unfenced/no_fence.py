"""In place of the fence: nothing is compared but the job, and whoever had a token keeps it."""

from typing import Any

from sqlalchemy import Connection, bindparam

from dpip.controller.datastore.tables import jobs
from dpip.model.job import Lease

IS_HELD = jobs.c.id == bindparam("held_job")


def blanks(lease: Lease) -> dict[str, Any]:
    """What the blank of ``IS_HELD`` is filled with."""
    return {"held_job": lease.job_id}


def shut_out(connection: Connection, worker: str) -> None:
    """Let it in."""
