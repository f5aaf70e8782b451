"""The life of a job: one original image, filtered once, visible exactly once.

A job is *pending* until the scheduler leases it to a worker. A lease is a numbered attempt: the
number grows with every lease, and only an attempt that holds a lease may finish the job, so a
worker that was given up for lost can do no harm when it comes back. A job may be leased a second
time beside an attempt that takes too long: the first result wins, and ends both leases.
"""

from enum import StrEnum

from msgspec import Struct

from dpip.model.image import Image, PictureFormat, PictureHeader


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


ALLOWED_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset({JobState.LEASED, JobState.FAILED}),
    JobState.LEASED: frozenset({JobState.PENDING, JobState.DONE, JobState.FAILED}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset({JobState.PENDING}),
}
"""Every move a job can make; the datastore makes no other."""

MAX_FAILURES = 3
"""A job whose attempts have failed this often is failed for good."""


MAX_RETRY_DELAY = 30.0
"""Seconds; no job waits longer for its next attempt. A later time kept for one means that the
wall clock has stepped back since."""


class FailureCode(StrEnum):
    """Why an attempt failed. Stable: programs may compare them."""

    DECODE_FAILED = "decode_failed"
    FILTER_FAILED = "filter_failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    ORIGINAL_UNAVAILABLE = "original_unavailable"
    RESULT_REFUSED = "result_refused"
    WORKER_LOST = "worker_lost"
    DOES_NOT_FIT = "does_not_fit"


class Failure(Struct, frozen=True, kw_only=True):
    """How an attempt failed: a code for programs, a sentence for people."""

    code: FailureCode
    reason: str


class Lease(Struct, frozen=True, kw_only=True):
    """The right of one worker to work on one attempt of one job.

    Its deadline is kept, on a monotonic clock, by the lease reaper that watches over it: a lease
    read back from SQL after a restart simply gets a full new term.
    """

    job_id: str
    attempt: int
    worker: str


class PendingJob(Struct, frozen=True, kw_only=True):
    """What placement and the worker need to know of a job that waits.

    ``pipeline`` is the workload's filter steps as JSON, ``size`` and ``sha256`` are those of the
    original. ``failed_by`` are the workers whose attempts have failed, ``MAX_FAILURES`` at most.
    """

    id: str
    workload_id: str
    workload_name: str
    image_id: str
    pipeline: bytes
    header: PictureHeader
    size: int
    sha256: str
    failures: int = 0
    failed_by: frozenset[str] = frozenset()


class LeasedJob(Struct, frozen=True, kw_only=True):
    """What a result is checked against: the original, and the workload's pipeline as JSON."""

    original: Image
    pipeline: bytes


class RefusedResult(Struct, frozen=True, kw_only=True):
    """What came of refusing a result, or of waiting for one too long: the state of its job, and
    whether that was once too often for its worker, so that it is quarantined now.
    """

    job_is: JobState
    quarantined: bool


class SettledJob(Struct, frozen=True, kw_only=True):
    """A job that is done or failed, as its workload's owner sees it.

    ``position`` numbers the settled jobs of the workload, in the order in which they settled, from
    1: the cursor to read on from. A failed job that is tried again leaves its number for a new one.
    ``milliseconds`` is the time spent on the pixels. Of a done one, format, SHA-256
    and notes of the filtered image are told too.
    """

    position: int
    image_id: str
    state: JobState
    filtered_image_id: str | None = None
    filtered_format: PictureFormat | None = None
    filtered_sha256: str | None = None
    worker: str | None = None
    milliseconds: float | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


def retry_delay(failures: int, jitter: float) -> float:
    """Seconds until the next attempt of a job whose attempts have failed ``failures`` times.

    Exponential with full jitter's upper half: ``jitter`` in [0, 1) spreads the delay over
    [0.5, 1) of 2 to the power of ``failures - 1`` seconds, at most ``MAX_RETRY_DELAY``.
    """
    return min(MAX_RETRY_DELAY, 2.0 ** (failures - 1)) * (0.5 + jitter / 2)
