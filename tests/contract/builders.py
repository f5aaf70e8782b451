"""What tests of a datastore are set up with, in a line each."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind, PictureFormat, PictureHeader
from dpip.model.job import MAX_RETRY_DELAY, Failure, FailureCode, Lease, PendingJob, SettledJob
from dpip.model.placement import Placement, Why
from dpip.model.user import Role, User
from dpip.model.worker import Gpu, Resources, Worker, WorkerState
from dpip.model.workload import Workload
from dpip.ports.datastore import Datastore

NOW = 1_800_000_000.0
HEADER = PictureHeader(
    format=PictureFormat.TIFF, width=70_000, height=50_000, frames=3, bands=4, depth=16
)
PIPELINE = b'[{"name":"grayscale"}]'
BROKEN = Failure(code=FailureCode.DECODE_FAILED, reason="The picture ends too early.")
WHY = Why(
    policy="least_loaded", known=3, with_room=2, cpu_milliseconds=40.5, memory=2**28, placed_at=NOW
)
NO_TERM = 0
"""Of a datastore in which no scheduler has led yet."""
READING = Resources(
    cpu=0.25,
    cores=64,
    memory_total=2**40,
    memory_available=2**39,
    gpus=(Gpu(name="A", utilisation=0.5, memory_used=2**33, memory_total=2**36),),
)


class Job(NamedTuple):
    """A job and the original that it is about."""

    id: str
    original: Image


def build_user(name: str = "alice", role: Role = Role.USER) -> User:
    return User(id=new_id(), name=name, role=role, password_hash="$argon2id$1", created_at=NOW)


def build_workload(owner_id: str | None = None, name: str = "holidays") -> Workload:
    return Workload(
        id=new_id(), name=name, owner_id=owner_id or new_id(), pipeline=PIPELINE, created_at=NOW
    )


def build_original(workload: Workload, content: bytes = b"picture") -> Image:
    return Image(
        id=new_id(),
        workload_id=workload.id,
        workload_name=workload.name,
        owner_id=workload.owner_id,
        kind=ImageKind.ORIGINAL,
        header=HEADER,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=NOW,
    )


def build_filtered(original: Image) -> Image:
    return Image(
        id=new_id(),
        workload_id=original.workload_id,
        workload_name=original.workload_name,
        owner_id=original.owner_id,
        kind=ImageKind.FILTERED,
        header=original.header,
        size=5_000_000_000,
        sha256="f" * 64,
        created_at=NOW,
        source_id=original.id,
    )


def build_worker(
    name: str = "ada", instance: str = "1", state: str = "alive", join_token: str | None = None
) -> Worker:
    return Worker(
        name=name,
        instance=instance,
        tags=("gpu", "fast"),
        slots=4,
        prefetch=2,
        state=WorkerState(state),
        resources=READING,
        running=0,
        joined_at=NOW,
        last_seen=NOW,
        join_token=join_token,
    )


def build_placement(job_id: str, worker: str = "ada") -> Placement:
    return Placement(job_id=job_id, worker=worker, why=WHY)


async def add_workload(
    datastore: Datastore, owner_id: str | None = None, name: str = "holidays"
) -> Workload:
    workload = build_workload(owner_id, name)
    await datastore.add_workload(workload)
    return workload


async def add_jobs(datastore: Datastore, workload: Workload, count: int) -> list[Job]:
    """Upload ``count`` originals, one after the other."""
    jobs = [Job(new_id(), build_original(workload)) for _ in range(count)]
    for job in jobs:
        await datastore.add_original(job.original, job.id)
    return jobs


async def add_job(datastore: Datastore, workload: Workload | None = None) -> Job:
    (job,) = await add_jobs(datastore, workload or await add_workload(datastore), 1)
    return job


async def lease(datastore: Datastore, job: Job, worker: str = "ada") -> Lease:
    (lease,) = await datastore.lease([build_placement(job.id, worker)], term=NO_TERM)
    return lease


async def lease_twice(
    datastore: Datastore, job: Job, first: str = "ada", second: str = "grace"
) -> tuple[Lease, Lease]:
    """Lease the job to two workers."""
    earlier = await lease(datastore, job, first)
    later = await datastore.lease_again(build_placement(job.id, second), term=NO_TERM)
    assert later is not None
    return earlier, later


async def complete(datastore: Datastore, job: Job, worker: str = "ada") -> SettledJob:
    """Lease the job and finish it."""
    held = await lease(datastore, job, worker)
    return await datastore.complete(held, build_filtered(job.original), milliseconds=12.5, now=NOW)


async def fail_for_good(datastore: Datastore, job: Job, failure: Failure = BROKEN) -> None:
    """Lease the job and fail, until it is not tried again."""
    state = None
    while state != "failed":
        held = await lease(datastore, job)
        state = await datastore.fail(held, failure, jitter=0.0, now=NOW)


async def pending_jobs(
    datastore: Datastore, now: float = NOW + MAX_RETRY_DELAY, limit: int = 1000
) -> list[PendingJob]:
    """What may be leased at ``now``, of each workload; by default when every delay is over."""
    return [
        job
        for workload in await datastore.waiting_workloads()
        for job in await datastore.pending_jobs(workload.id, now=now, limit=limit)
    ]


async def pending_ids(datastore: Datastore, now: float = NOW + MAX_RETRY_DELAY) -> list[str]:
    """Ids of those."""
    return [job.id for job in await pending_jobs(datastore, now)]


def ids(objects: Sequence[Workload | Job]) -> list[str]:
    return [each.id for each in objects]
