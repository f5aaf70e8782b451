"""Placements: a job, the worker that it goes to, and why there."""

from msgspec import Struct

from dpip.model.job import Failure, JobState, Lease, PendingJob


class Why(Struct, frozen=True, kw_only=True):
    """What the scheduler knew when it placed a job, kept with the job as JSON.

    Of the ``known`` workers, as many as ``with_room`` had room for one more job. ``policy`` ranked
    those of them that could take this one; ``runner_up`` came second, where that is known.
    ``cpu_milliseconds`` and ``memory`` (bytes) are what the job was predicted to take there.
    ``backup``: it was placed a second time, beside an attempt that took too long.
    """

    policy: str
    known: int
    with_room: int
    cpu_milliseconds: float
    memory: int
    placed_at: float
    runner_up: str | None = None
    backup: bool = False


class Placement(Struct, frozen=True, kw_only=True):
    """A pending job and the worker that it is to be leased to."""

    job_id: str
    worker: str
    why: Why


class PlacedJob(Struct, frozen=True, kw_only=True):
    """A lease that is out, with what the scheduler needs to go on with it after a restart."""

    lease: Lease
    job: PendingJob
    owner_id: str
    why: Why | None


class JobView(Struct, frozen=True, kw_only=True):
    """A job with all that explains where it is and why.

    ``image_id`` is the original's. ``worker`` holds the newest lease, numbered ``attempt``, or has
    settled the job; ``rival`` is an earlier lease that goes on beside it. ``why`` tells of the
    worker, or of the rival's where that is alone. ``failure`` is the latest that counted,
    ``failed_by`` are the workers that have failed it, the latest last, and ``notes`` those of the
    filtered image.
    """

    id: str
    workload_id: str
    image_id: str
    state: JobState
    attempt: int
    failures: int
    retry_at: float
    worker: str | None = None
    rival: Lease | None = None
    why: Why | None = None
    failure: Failure | None = None
    failed_by: tuple[str, ...] = ()
    milliseconds: float | None = None
    position: int | None = None
    filtered_image_id: str | None = None
    notes: tuple[str, ...] = ()
