"""What is simulated: machines, workers, users and pictures, all drawn by one seed."""

import random
from array import array
from collections.abc import Iterator

from msgspec import Struct

from dpip.model.image import PictureFormat, PictureHeader

MIB = 1024 * 1024

GRAYSCALE = b'[{"filter":"grayscale"}]'
BLUR = b'[{"filter":"blur","sigma":3.0}]'

_MILLISECONDS_A_MEGAPIXEL = {
    (PictureFormat.JPEG, GRAYSCALE): 26.0,
    (PictureFormat.JPEG, BLUR): 23.0,
    (PictureFormat.PNG, GRAYSCALE): 50.0,
    (PictureFormat.PNG, BLUR): 85.0,
}
"""CPU time on a processor of speed 1, as it was measured with libvips."""
_MILLISECONDS_A_PICTURE = 4.0
_MOST_PIXELS = 50e6
"""No more are taken in by default."""
_MEMORY_A_PICTURE = 50 * MIB
_MEMORY_A_DECODED_BYTE = 0.2
_NOISE = 0.25
"""Sigma of the lognormal factor between a picture's cost and what its size implies."""

_PROCESSORS = {"Old": 0.6, "Common": 1.0, "Fast": 1.4, "Fastest": 1.9}
_PROCESSOR_SHARES = (3, 5, 3, 1)
_MACHINE_NOISE = 0.08
_WORKERS_A_MACHINE = (1, 1, 1, 2, 4)
_SLOTS = (1, 2, 2, 3, 4)
_MEMORY_A_SLOT = (512 * MIB, 1024 * MIB, 2048 * MIB, 2048 * MIB, 4096 * MIB)

_AWAY_SECONDS = 20.0

_BATCH_USERS = 8
_WEIGHTS = (1, 1, 1, 2, 4)
_INTERACTIVE_USERS = 40
_INTERACTIVE_SHARE, _INTERACTIVE_JOBS = 0.005, 20
"""One picture in two hundred comes by itself; of a small scenario some twenty do."""
_ARRIVE_WITHIN = 0.8
"""Single pictures come within this share of the time that the whole takes at least."""


class Kind(Struct, frozen=True):
    """Pictures of one kind: what they are, and how much of the whole one workload of them is."""

    name: str
    format: PictureFormat
    median_pixels: float
    sigma: float
    share: float


PHOTOGRAPHS = Kind("photographs", PictureFormat.JPEG, 16e6, 0.5, 1.0)
FRAMES = Kind("frames", PictureFormat.PNG, 1920 * 1080, 0.3, 1.0)
THUMBNAILS = Kind("thumbnails", PictureFormat.JPEG, 256 * 192, 0.1, 1.0)
SCANS = Kind("scans", PictureFormat.PNG, 24e6, 0.4, 0.15)
_KINDS = (PHOTOGRAPHS, FRAMES, PHOTOGRAPHS, THUMBNAILS, PHOTOGRAPHS, SCANS)


class Machine(Struct, frozen=True, kw_only=True):
    """What workers share. Its slots together are its cores; ``speed`` is that of one of them."""

    name: str
    processor: str
    speed: float
    cores: int
    memory: int


class Life(Struct, frozen=True):
    """A time in which a worker is there: seconds from the beginning."""

    begins: float
    ends: float


class WorkerPlan(Struct, frozen=True, kw_only=True):
    """A worker and, for good or ill, all of its future."""

    name: str
    machine: Machine
    slots: int
    lives: tuple[Life, ...]


class UserPlan(Struct, frozen=True, kw_only=True):
    """Somebody who sends pictures: a huge batch at once, or one now and then."""

    id: str
    weight: int
    is_interactive: bool


class WorkloadPlan(Struct, frozen=True, kw_only=True):
    """A workload: the place of its owner among the users, and what its pictures are."""

    id: str
    owner: int
    kind: Kind
    pipeline: bytes


class Jobs:
    """All jobs by their number, in the order in which they come.

    ``arrival`` is in seconds from the beginning, ``work`` in milliseconds on a core of speed 1,
    ``memory`` in bytes, ``workload`` the place among the workloads.
    """

    def __init__(self) -> None:
        self.arrival = array("d")
        self.work = array("d")
        self.memory = array("q")
        self.width = array("i")
        self.height = array("i")
        self.workload = array("i")

    def __len__(self) -> int:
        return len(self.work)

    def add(self, *, workload: int, width: int, height: int, work: float, memory: int) -> None:
        """Add a job that is there from the beginning."""
        self.arrival.append(0.0)
        self.work.append(work)
        self.memory.append(memory)
        self.width.append(width)
        self.height.append(height)
        self.workload.append(workload)


class Scenario(Struct, frozen=True, kw_only=True):
    """All that is given before anything is decided."""

    seed: int
    workers: tuple[WorkerPlan, ...]
    users: tuple[UserPlan, ...]
    workloads: tuple[WorkloadPlan, ...]
    jobs: Jobs

    def header(self, job: int) -> PictureHeader:
        """What the picture of a job declares."""
        kind = self.workloads[self.jobs.workload[job]].kind
        return PictureHeader(
            format=kind.format, width=self.jobs.width[job], height=self.jobs.height[job]
        )

    def owner(self, job: int) -> int:
        """The place of a job's owner among the users."""
        return self.workloads[self.jobs.workload[job]].owner


def draw(*, workers: int, jobs: int, seed: int, mtbf: float, pixels: float = 1.0) -> Scenario:
    """Draw a scenario; the same arguments draw the same.

    ``mtbf`` is the mean time between failures of a worker, in seconds. Pictures have as many
    ``pixels`` as they usually have, times this.
    """
    chance = random.Random(seed)  # noqa: S311  # nosec B311 # a scenario that can be made again
    machines = list(_machines(chance, workers))
    users = list(_users(chance))
    workloads = list(_workloads(chance, users))
    drawn = _jobs(chance, workloads, users, jobs, pixels)
    speed = sum(machine.speed * slots for machine, slots in machines)
    at_least = sum(drawn.work) / 1000 / speed
    until = 600 + 10 * at_least * (mtbf + _AWAY_SECONDS) / mtbf
    _let_single_pictures_arrive(chance, drawn, workloads, users, _ARRIVE_WITHIN * at_least)
    return Scenario(
        seed=seed,
        workers=tuple(
            WorkerPlan(
                name=f"w{number:04d}",
                machine=machine,
                slots=slots,
                lives=tuple(_lives(chance, mtbf, until=until)),
            )
            for number, (machine, slots) in enumerate(machines)
        ),
        users=tuple(users),
        workloads=tuple(workloads),
        jobs=drawn,
    )


def _machines(chance: random.Random, workers: int) -> Iterator[tuple[Machine, int]]:
    """Each worker's machine and slots; a machine has as many cores as its workers have slots."""
    number = left = 0
    for number in range(workers):
        if number >= left:
            together = min(chance.choice(_WORKERS_A_MACHINE), workers - number)
            left = number + together
            slots = [chance.choice(_SLOTS) for _ in range(together)]
            processor = chance.choices(list(_PROCESSORS), _PROCESSOR_SHARES)[0]
            machine = Machine(
                name=f"m{number:04d}",
                processor=processor,
                speed=_PROCESSORS[processor] * chance.lognormvariate(0, _MACHINE_NOISE),
                cores=sum(slots),
                memory=sum(slots) * chance.choice(_MEMORY_A_SLOT),
            )
        yield machine, slots.pop()


def _lives(chance: random.Random, mtbf: float, *, until: float) -> Iterator[Life]:
    begins = 0.0
    while begins < until:
        ends = begins + chance.expovariate(1 / mtbf)
        yield Life(begins, ends)
        begins = ends + chance.expovariate(1 / _AWAY_SECONDS)


def _users(chance: random.Random) -> Iterator[UserPlan]:
    for number in range(_BATCH_USERS):
        yield UserPlan(id=f"b{number}", weight=chance.choice(_WEIGHTS), is_interactive=False)
    for number in range(_INTERACTIVE_USERS):
        yield UserPlan(id=f"i{number}", weight=1, is_interactive=True)


def _workloads(chance: random.Random, users: list[UserPlan]) -> Iterator[WorkloadPlan]:
    number = 0
    for place, user in enumerate(users):
        for _ in range(1 if user.is_interactive else chance.choice((1, 2, 3))):
            yield WorkloadPlan(
                id=f"{number:026d}",
                owner=place,
                kind=PHOTOGRAPHS if user.is_interactive else _KINDS[number % len(_KINDS)],
                pipeline=chance.choice((GRAYSCALE, BLUR)),
            )
            number += 1


def _jobs(
    chance: random.Random,
    workloads: list[WorkloadPlan],
    users: list[UserPlan],
    count: int,
    pixels: float,
) -> Jobs:
    """Batches first, one workload after the other, then the single pictures."""
    single = max(round(count * _INTERACTIVE_SHARE), min(_INTERACTIVE_JOBS, count // 20))
    batches = [
        place for place, each in enumerate(workloads) if not users[each.owner].is_interactive
    ]
    shares = [workloads[place].kind.share * chance.lognormvariate(0, 0.5) for place in batches]
    sizes = [int((count - single) * share / sum(shares)) for share in shares]
    sizes[0] += count - single - sum(sizes)
    jobs = Jobs()
    for place, size in zip(batches, sizes, strict=True):
        _draw_pictures(chance, jobs, place, workloads[place], size, pixels)
    interactive = [place for place in range(len(workloads)) if place not in batches]
    for _ in range(single):
        place = chance.choice(interactive)
        _draw_pictures(chance, jobs, place, workloads[place], 1, pixels)
    return jobs


def _draw_pictures(
    chance: random.Random,
    jobs: Jobs,
    place: int,
    workload: WorkloadPlan,
    count: int,
    scale: float,
) -> None:
    kind = workload.kind
    slope = _MILLISECONDS_A_MEGAPIXEL[kind.format, workload.pipeline] / 1e6
    for _ in range(count):
        drawn = kind.median_pixels * chance.lognormvariate(0, kind.sigma)
        pixels = scale * min(_MOST_PIXELS, drawn)
        height = int((pixels * 3 / 4) ** 0.5)
        width = height * 4 // 3
        noise = chance.lognormvariate(0, _NOISE)
        jobs.add(
            workload=place,
            width=width,
            height=height,
            work=(_MILLISECONDS_A_PICTURE + slope * width * height) * noise,
            memory=_MEMORY_A_PICTURE + int(_MEMORY_A_DECODED_BYTE * width * height * 3),
        )


def _let_single_pictures_arrive(
    chance: random.Random,
    jobs: Jobs,
    workloads: list[WorkloadPlan],
    users: list[UserPlan],
    within: float,
) -> None:
    single = [
        job for job in range(len(jobs)) if users[workloads[jobs.workload[job]].owner].is_interactive
    ]
    times = sorted(chance.uniform(0, within) for _ in single)
    for job, time in zip(single, times, strict=True):
        jobs.arrival[job] = time
