"""Workloads: a filter pipeline and the images it is applied to."""

from enum import StrEnum

from msgspec import Struct

from dpip.model.requirements import NO_REQUIREMENTS, Requirements


class WorkloadStatus(StrEnum):
    """What a user sees of a workload's progress."""

    SCHEDULING = "scheduling"
    RUNNING = "running"
    COMPLETED = "completed"


class JobCounts(Struct, frozen=True, kw_only=True):
    """How many jobs of a workload are in each state."""

    pending: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.pending + self.leased + self.done + self.failed


class Workload(Struct, frozen=True, kw_only=True):
    """A named batch of images with one filter pipeline, kept as JSON in ``pipeline``.

    ``started`` becomes true when its first job is leased and stays so.
    """

    id: str
    name: str
    owner_id: str
    pipeline: bytes
    created_at: float
    started: bool = False
    counts: JobCounts = JobCounts()
    requirements: Requirements = NO_REQUIREMENTS

    @property
    def status(self) -> WorkloadStatus:
        """``scheduling`` until it has jobs and the first starts, ``running`` while any is to do."""
        if self.counts.pending or self.counts.leased:
            return WorkloadStatus.RUNNING if self.started else WorkloadStatus.SCHEDULING
        return WorkloadStatus.COMPLETED if self.counts.total else WorkloadStatus.SCHEDULING


class RemovedWorkload(Struct, frozen=True, kw_only=True):
    """A workload that was removed; nothing may be left, or come back, of its files."""

    id: str
    name: str
    removed_at: float


class WaitingWorkload(Struct, frozen=True, kw_only=True):
    """A workload with pending jobs, and with what its share depends on.

    ``owner_weight`` is its owner's; ``counts`` are those of its jobs.
    """

    id: str
    owner_id: str
    owner_weight: int
    pipeline: bytes
    requirements: Requirements
    counts: JobCounts


class Usage(Struct, frozen=True, kw_only=True):
    """What the workloads of one user take up: bytes of originals and of what came of them, and
    jobs that wait.
    """

    stored_bytes: int
    pending_jobs: int
