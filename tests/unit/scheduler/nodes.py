"""Workers and jobs as placement sees them."""

from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.job import Lease, PendingJob
from dpip.model.worker import Gpu, Resources
from dpip.scheduler.node import Machine, Node, Promise
from dpip.wire.messages import Heartbeat, Running

MIB = 1 << 20
GIB = 1 << 30


def node(
    name: str = "w",
    *,
    tags: frozenset[str] = frozenset(),
    slots: int = 1,
    prefetch: int = 0,
    in_hand: int = 0,
    milliseconds: float = 100.0,
    draining: bool = False,
    paused: str | None = None,
    cpu: float = 0.0,
    memory_available: int = GIB,
    promised: int = 0,
    gpu: float | None = None,
    gpu_memory_free: int = GIB,
    pace: float = 1.0,
    machine: Machine | None = None,
) -> Node:
    """A worker that is idle unless it is said otherwise; its jobs take ``milliseconds`` each."""
    gpus = (
        ()
        if gpu is None
        else (Gpu(name="g", utilisation=gpu, memory_used=0, memory_total=gpu_memory_free),)
    )
    machine = machine or Machine(name=name)
    machine.slots += slots
    machine.jobs += in_hand
    machine.promised += promised
    leases = [lease(f"{name}-{number}", worker=name) for number in range(in_hand)]
    return Node(
        name=name,
        instance="i",
        tags=tags,
        slots=slots,
        prefetch=prefetch,
        draining=draining,
        paused=paused,
        resources=Resources(
            cpu=cpu, cores=4, memory_total=GIB, memory_available=memory_available, gpus=gpus
        ),
        heard_at=0,
        machine=machine,
        in_hand={each: promise(each, milliseconds=milliseconds) for each in leases},
        milliseconds=milliseconds * in_hand,
        pace=pace,
    )


def lease(job_id: str = "j", *, attempt: int = 1, worker: str = "w") -> Lease:
    return Lease(job_id=job_id, attempt=attempt, worker=worker)


def promise(
    held: Lease,
    *,
    milliseconds: float = 100.0,
    memory: int = 0,
    since: float = 0.0,
    owner_id: str | None = "owner",
    express: bool = False,
) -> Promise:
    return Promise(
        lease=held,
        milliseconds=milliseconds,
        memory=memory,
        since=since,
        owner_id=owner_id,
        express=express,
        job=job(held.job_id),
    )


def job(job_id: str = "j") -> PendingJob:
    return PendingJob(
        id=job_id,
        workload_id="wl",
        workload_name="holidays",
        image_id=f"image-{job_id}",
        pipeline=b"[]",
        header=PictureHeader(format=PictureFormat.PNG, width=1, height=1),
        size=1,
        sha256="00",
    )


def heartbeat(
    *running: Lease,
    slots: int = 1,
    prefetch: int = 0,
    draining: bool = False,
    paused: str | None = None,
    tags: tuple[str, ...] = ("fast",),
    machine: str = "",
    memory_total: int = GIB,
    memory_available: int = GIB,
    memory_ours: int = 0,
) -> Heartbeat:
    return Heartbeat(
        tags=tags,
        slots=slots,
        prefetch=prefetch,
        draining=draining,
        paused=paused,
        resources=Resources(
            cpu=0,
            cores=1,
            memory_total=memory_total,
            memory_available=memory_available,
            memory_ours=memory_ours,
            machine=machine,
        ),
        running=tuple(Running(job_id=each.job_id, attempt=each.attempt) for each in running),
    )
