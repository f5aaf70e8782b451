"""The record of what happened, for operators."""

from enum import StrEnum

from msgspec import Struct


class ActivityKind(StrEnum):
    """What can be recorded."""

    WORKER_JOINED = "worker_joined"
    WORKER_LEFT = "worker_left"
    WORKER_LOST = "worker_lost"
    WORKER_QUARANTINED = "worker_quarantined"
    WORKER_RELEASED = "worker_released"
    WORKLOAD_CREATED = "workload_created"
    WORKLOAD_COMPLETED = "workload_completed"
    WORKLOAD_REMOVED = "workload_removed"
    JOB_FAILED = "job_failed"


class Activity(Struct, frozen=True, kw_only=True):
    """One thing that happened at ``at`` (seconds since 1970) to ``subject``, a worker's name or
    the id of a workload or job.
    """

    at: float
    kind: ActivityKind
    subject: str
    detail: str = ""
