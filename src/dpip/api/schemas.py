"""What the API answers, as the OpenAPI document describes it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, Field

from dpip.filters.pipeline import decode_pipeline, describe
from dpip.model.image import ImageKind, PictureFormat
from dpip.model.job import FailureCode, JobState, SettledJob
from dpip.model.requirements import GpuUse
from dpip.model.worker import Command, Worker, WorkerState
from dpip.model.workload import Workload, WorkloadStatus

Fraction = Annotated[float, Field(description="0 to 1.")]
Bytes = Annotated[int, Field(description="Bytes.")]


def utc(seconds: float) -> datetime:
    """Return the time ``seconds`` after 1970; answers show it as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC)


class Problem(BaseModel):
    """An error (RFC 9457). Further members are the facts of the case."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable: programs may compare it.")


class LoginAnswer(BaseModel):
    """A fresh token, to be sent as ``Authorization: Bearer <token>``."""

    user: str
    token: str
    expires_at: datetime


class LogoutAnswer(BaseModel):
    """The token is dead."""

    logout_message: str


class Counts(BaseModel):
    """Images of a workload by what became of them."""

    pending: int
    running: int
    done: int
    failed: int


class WorkloadSummary(BaseModel):
    """A workload without its images."""

    workload_id: str
    filter: str
    workload_name: str
    status: WorkloadStatus
    running_jobs: int
    counts: Counts
    created_at: datetime
    tags: list[str] = Field(description="What the workers have to carry.")
    prefer_tags: list[str]
    gpu: GpuUse
    priority: int
    weight: int
    deadline: datetime | None

    @classmethod
    def of(cls, workload: Workload) -> Self:
        """Summarise ``workload``."""
        return cls(**_summary(workload))


class FailedImage(BaseModel):
    """An original that could not be filtered."""

    image_id: str
    code: FailureCode | None
    reason: str | None

    @classmethod
    def of(cls, job: SettledJob) -> Self:
        """Say why ``job`` failed."""
        failure = job.failure
        return cls(
            image_id=job.image_id,
            code=failure.code if failure else None,
            reason=failure.reason if failure else None,
        )


class WorkloadAnswer(WorkloadSummary):
    """A workload; its images in the order in which they were uploaded."""

    pipeline: list[dict[str, Any]]
    keep_metadata: bool
    png_compression: int
    filtered_images: list[str]
    failed_images: list[FailedImage]

    @classmethod
    def with_images(cls, workload: Workload, filtered: list[str], failed: list[SettledJob]) -> Self:
        """Show ``workload`` with its filtered images and failed jobs."""
        pipeline = decode_pipeline(workload.pipeline)
        return cls(
            **_summary(workload),
            pipeline=msgspec.to_builtins(pipeline.steps),
            keep_metadata=pipeline.keep_metadata,
            png_compression=pipeline.png_compression,
            filtered_images=filtered,
            failed_images=[FailedImage.of(job) for job in failed],
        )


class RemovedAnswer(BaseModel):
    """The workload is gone, and so are its originals and what came of them."""

    workload_id: str
    images: int = Field(description="Originals that it had.")


class WorkloadPage(BaseModel):
    """Workloads, newest first; ``next`` is the ``before`` of the page that follows."""

    workloads: list[WorkloadSummary]
    next: str | None


class Result(BaseModel):
    """What became of an original: the filtered image, or a code and a reason."""

    position: int
    image_id: str
    status: JobState
    filtered_image_id: str | None
    filtered_format: PictureFormat | None
    filtered_sha256: str | None
    worker: str | None
    milliseconds: float | None
    notes: list[str] = Field(description="Codes for what the filtered image lacks on purpose.")
    code: FailureCode | None
    reason: str | None

    @classmethod
    def of(cls, job: SettledJob) -> Self:
        """Show how ``job`` settled."""
        return cls(
            position=job.position,
            image_id=job.image_id,
            status=job.state,
            filtered_image_id=job.filtered_image_id,
            filtered_format=job.filtered_format,
            filtered_sha256=job.filtered_sha256,
            worker=job.worker,
            milliseconds=job.milliseconds,
            notes=list(job.notes),
            code=job.failure.code if job.failure else None,
            reason=job.failure.reason if job.failure else None,
        )


class ResultsPage(BaseModel):
    """Results in the order in which they settled; ``next`` is the ``after`` to go on with."""

    results: list[Result]
    next: int


class StagedAnswer(BaseModel):
    """What became of a staged picture: the image that it is, or why it is none."""

    status: int = Field(description="As if it had been sent by itself.")
    image_id: str | None = None
    code: str | None = None
    detail: str | None = None


class StagedAnswers(BaseModel):
    """What became of staged pictures, in the order of the request."""

    pictures: list[StagedAnswer]


class ImageAnswer(BaseModel):
    """The picture is kept."""

    workload_id: str
    image_id: str
    type: ImageKind


class Memory(BaseModel):
    """Memory of a worker's machine."""

    total: Bytes
    available: Bytes


class GpuReading(BaseModel):
    """A GPU of a worker's machine."""

    name: str
    utilisation: Fraction
    memory_used: Bytes
    memory_total: Bytes


class WorkerReading(BaseModel):
    """A worker at its last heartbeat; a process that is started anew is another instance.

    ``command`` is what an administrator has told it, ``paused`` why it takes no jobs for now: words
    that follow its name.
    """

    name: str
    instance: str
    state: WorkerState
    paused: str | None
    command: Command | None
    tags: list[str]
    slots: int
    cpu: Fraction
    cores: int
    memory: Memory
    gpus: list[GpuReading]
    running_jobs: int
    last_seen: datetime

    @classmethod
    def of(cls, worker: Worker) -> Self:
        """Show ``worker``."""
        resources = worker.resources
        return cls(
            name=worker.name,
            instance=worker.instance,
            state=worker.state,
            paused=worker.paused,
            command=worker.command,
            tags=list(worker.tags),
            slots=worker.slots,
            cpu=resources.cpu,
            cores=resources.cores,
            memory=Memory(total=resources.memory_total, available=resources.memory_available),
            gpus=[
                GpuReading(
                    name=gpu.name,
                    utilisation=gpu.utilisation,
                    memory_used=gpu.memory_used,
                    memory_total=gpu.memory_total,
                )
                for gpu in resources.gpus
            ],
            running_jobs=worker.running,
            last_seen=utc(worker.last_seen),
        )


class WorkerList(BaseModel):
    """Workers by name."""

    workers: list[WorkerReading]


class StatusAnswer(BaseModel):
    """The system at this moment, as far as the caller may see it."""

    system_name: str
    server_time: datetime
    active_workloads: list[WorkloadSummary]
    workers: list[WorkerReading]


class HealthAnswer(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


def _summary(workload: Workload) -> dict[str, Any]:
    counts, asked = workload.counts, workload.requirements
    return {
        "workload_id": workload.id,
        "filter": describe(decode_pipeline(workload.pipeline)),
        "workload_name": workload.name,
        "status": workload.status,
        "running_jobs": counts.leased,
        "counts": Counts(
            pending=counts.pending,
            running=counts.leased,
            done=counts.done,
            failed=counts.failed,
        ),
        "created_at": utc(workload.created_at),
        "tags": list(asked.tags),
        "prefer_tags": list(asked.prefer_tags),
        "gpu": asked.gpu,
        "priority": asked.priority,
        "weight": asked.weight,
        "deadline": None if asked.deadline is None else utc(asked.deadline),
    }
