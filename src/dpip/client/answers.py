"""What the API answers, as values."""

from datetime import datetime

from msgspec import Struct, field

from dpip.model.image import PictureFormat
from dpip.model.job import JobState
from dpip.model.requirements import GpuUse
from dpip.model.worker import Command, Gpu, WorkerState
from dpip.model.workload import WorkloadStatus


class Counts(Struct, frozen=True, kw_only=True):
    """Images of a workload by what became of them."""

    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0


class WorkloadSummary(Struct, frozen=True, kw_only=True):
    """A workload without its images. What it asked for, if anything, is in the last six."""

    id: str = field(name="workload_id")
    name: str = field(name="workload_name")
    filter: str
    status: WorkloadStatus
    running_jobs: int
    counts: Counts = Counts()
    tags: tuple[str, ...] = ()
    prefer_tags: tuple[str, ...] = ()
    gpu: GpuUse = GpuUse.NEVER
    priority: int = 0
    weight: int = 1
    deadline: datetime | None = None


class FailedImage(Struct, frozen=True, kw_only=True):
    """An original that could not be filtered: a stable code and a sentence."""

    image_id: str
    code: str | None
    reason: str | None


class Workload(WorkloadSummary, frozen=True, kw_only=True):
    """A workload; its images are in the order in which the originals were uploaded."""

    filtered_images: tuple[str, ...] = ()
    failed_images: tuple[FailedImage, ...] = ()


class Result(Struct, frozen=True, kw_only=True):
    """What became of the original ``image_id``.

    ``position`` counts the settled originals of a workload from 1, in the order in which they
    settled. A ``done`` one has ``filtered_image_id``, the format and SHA-256 of that image,
    ``worker``, the ``milliseconds`` spent on its pixels, and ``notes``: codes for what it lacks on
    purpose, which a newer server may add to. A ``failed`` one has ``code`` and ``reason``.
    """

    position: int
    image_id: str
    status: JobState
    filtered_image_id: str | None = None
    filtered_format: PictureFormat | None = None
    filtered_sha256: str | None = None
    worker: str | None = None
    milliseconds: float | None = None
    notes: tuple[str, ...] = ()
    code: str | None = None
    reason: str | None = None


class Obstacle(Struct, frozen=True, kw_only=True):
    """A worker that cannot take a picture now, and why: words that follow its name."""

    worker: str
    reason: str


class Explanation(Struct, frozen=True, kw_only=True):
    """Where an original is on its way, and why: in sentences for people, and as facts.

    ``remedy`` is what would have to change. ``worker`` has the picture or has filtered it, and
    ``also_on`` is that of an earlier attempt that goes on beside it. When it was placed, ``policy``
    chose among those ``with_room`` of all ``known`` workers, and expected it to take
    ``predicted_milliseconds`` of CPU time and ``predicted_memory`` bytes there; it spent
    ``milliseconds`` on the pixels. One that waits is at ``position``, from 1, in its workload, and
    competes with that many jobs of others. ``code`` and ``reason`` are of the latest failure.
    """

    image_id: str
    workload_id: str
    state: JobState
    summary: str
    details: tuple[str, ...] = ()
    remedy: str | None = None
    worker: str | None = None
    also_on: str | None = None
    attempt: int = 0
    failures: int = 0
    code: str | None = None
    reason: str | None = None
    retry_at: datetime | None = None
    placed_at: datetime | None = None
    policy: str | None = None
    known: int | None = None
    with_room: int | None = None
    runner_up: str | None = None
    predicted_milliseconds: float | None = None
    predicted_memory: int | None = None
    milliseconds: float | None = None
    position: int | None = None
    competing: int | None = None
    obstacles: tuple[Obstacle, ...] = ()
    filtered_image_id: str | None = None
    notes: tuple[str, ...] = ()


class Memory(Struct, frozen=True, kw_only=True):
    """Memory of a worker's machine, in bytes."""

    total: int
    available: int


class WorkerReading(Struct, frozen=True, kw_only=True):
    """A worker at its last heartbeat; ``cpu`` is the load over all ``cores`` in 0 to 1.

    ``instance`` tells one process from the next under the same name. ``command`` is what an
    administrator has told it, ``paused`` why it takes no jobs for now: words that follow its name.
    """

    name: str
    instance: str
    state: WorkerState
    paused: str | None
    command: Command | None
    tags: tuple[str, ...]
    slots: int
    cpu: float
    cores: int
    memory: Memory
    gpus: tuple[Gpu, ...]
    running_jobs: int
    last_seen: datetime


class Workers(Struct, frozen=True, kw_only=True):
    """Workers by name."""

    workers: tuple[WorkerReading, ...]


class Status(Struct, frozen=True, kw_only=True):
    """The system at this moment, as far as the caller may see it."""

    system_name: str
    server_time: datetime
    active_workloads: tuple[WorkloadSummary, ...]
    workers: tuple[WorkerReading, ...]


class WorkloadsPage(Struct, frozen=True, kw_only=True):
    """Workloads, newest first; ``next`` is the ``before`` of the page that follows."""

    workloads: tuple[WorkloadSummary, ...]
    next: str | None


class Login(Struct, frozen=True, kw_only=True):
    """A fresh token and whose it is."""

    user: str
    token: str


class UploadedImage(Struct, frozen=True, kw_only=True):
    """The receipt of an upload: the picture is durable on the server."""

    workload_id: str
    image_id: str


class StagedPicture(Struct, frozen=True, kw_only=True):
    """What became of a staged picture: it is an image, or is none for the reason in ``detail``."""

    status: int
    image_id: str | None = None
    code: str | None = None
    detail: str | None = None


class StagedPictures(Struct, frozen=True, kw_only=True):
    """What became of staged pictures, in the order in which they were named."""

    pictures: tuple[StagedPicture, ...]


class ResultsPage(Struct, frozen=True, kw_only=True):
    """Results in order of position; ``next`` is the ``after`` that continues behind them."""

    results: tuple[Result, ...]
    next: int
