"""Workers and jobs as placement sees them."""

from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.job import Lease, PendingJob
from dpip.model.worker import Gpu, Resources
from dpip.scheduler.fleet import Node
from dpip.wire.messages import Heartbeat, Running

GIB = 1 << 30


def node(
    name: str = "w",
    *,
    tags: frozenset[str] = frozenset(),
    slots: int = 1,
    prefetch: int = 0,
    in_hand: int = 0,
    draining: bool = False,
    cpu: float = 0.0,
    memory_available: int = GIB,
    gpu: float | None = None,
) -> Node:
    """A worker that is idle unless it is said otherwise."""
    gpus = () if gpu is None else (Gpu(name="g", utilisation=gpu, memory_used=0, memory_total=1),)
    return Node(
        name=name,
        instance="i",
        tags=tags,
        slots=slots,
        prefetch=prefetch,
        draining=draining,
        resources=Resources(
            cpu=cpu, cores=4, memory_total=GIB, memory_available=memory_available, gpus=gpus
        ),
        heard_at=0,
        in_hand={lease(f"{name}-{number}", worker=name) for number in range(in_hand)},
    )


def lease(job_id: str = "j", *, attempt: int = 1, worker: str = "w") -> Lease:
    return Lease(job_id=job_id, attempt=attempt, worker=worker)


def jobs(count: int) -> list[PendingJob]:
    return [
        PendingJob(
            id=f"job-{number}",
            workload_id="wl",
            image_id=f"image-{number}",
            pipeline=b"[]",
            header=PictureHeader(format=PictureFormat.PNG, width=1, height=1),
            size=1,
        )
        for number in range(count)
    ]


def heartbeat(*running: Lease, slots: int = 1, draining: bool = False) -> Heartbeat:
    return Heartbeat(
        tags=("fast",),
        slots=slots,
        prefetch=0,
        draining=draining,
        resources=Resources(cpu=0, cores=1, memory_total=2, memory_available=1),
        running=tuple(Running(job_id=each.job_id, attempt=each.attempt) for each in running),
    )
