"""What a job costs beside the work on its picture: jobs a second, and CPU by process and by part.

The pictures are PNGs of 16 by 16 pixels, and the filter is a blur so slight that it returns them as
they are. All else is as for any picture: upload, rows, placement, call, download, a child that
decodes and encodes, upload of the result, and download by the user.
"""

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
from msgspec import Struct

from dpip.bench.machine import Machine, this_machine
from dpip.bench.sampling import Sampler, missing_sampler
from dpip.client import Client
from dpip.client.batch import filter_pictures
from dpip.client.local_system import local_system
from dpip.client.targets import Picture
from dpip.filters.libvips import pyvips

NOTHING = "blur:sigma=0.1"

_SIDE = 16
_MOST_WARM_UP = 500

_PROCESSES = {
    "dpip up": "API, controller, scheduler",
    "dpip worker": "workers",
    "dpip.worker.child": "children, which decode and encode",
    "nats-server": "nats-server",
}
"""Processes of a system by what their command line has."""

_CLIENT = "client, which is this command"


class Account(Struct, frozen=True, kw_only=True):
    """Jobs a second from end to end, and microseconds of CPU that a job takes.

    ``parts`` splits that of processes that were sampled. While they are, jobs take ``slowed`` times
    as long; the other figures are without. ``not_sampled`` says why there are no parts.
    """

    machine: Machine
    jobs: int
    seconds: float
    jobs_per_second: float
    processes: dict[str, float]
    parts: dict[str, dict[str, float]]
    slowed: float | None
    not_sampled: str | None

    def lines(self) -> list[str]:
        """What it says to people."""
        lines = [
            f"{self.jobs} jobs in {self.seconds:.1f} s: {self.jobs_per_second:.0f} jobs/s",
            "",
            "CPU a job, in microseconds",
            *_lines(self.processes),
        ]
        for process, parts in self.parts.items():
            lines += ["", f"{process}, by part", *_lines(parts)]
        if self.slowed is not None:
            lines += [
                "",
                f"While processes were sampled, jobs took {self.slowed:.2f} times as long.",
            ]
        if self.not_sampled is not None:
            lines += ["", self.not_sampled]
        return lines


def measure_control_plane(
    jobs: int, settings: Mapping[str, str], say: Callable[[str], None]
) -> Account:
    """Run ``jobs`` jobs that change nothing through a system of its own, bare and then sampled.

    ``settings`` are those of the system, as variables.
    """
    machine = this_machine()
    with (
        tempfile.TemporaryDirectory(prefix="dpip-bench-") as scratch,
        local_system(settings=settings) as system,
        Client(system.api) as client,
    ):
        client.login(system.user, system.password)
        pictures = _pictures(Path(scratch), jobs)

        def run(count: int) -> float:
            return filter_pictures(client, pictures[:count], NOTHING).seconds

        say("warming up")
        run(min(jobs, _MOST_WARM_UP))
        say(f"{jobs} jobs")
        before = cpu_seconds()
        seconds = run(jobs)
        used = cpu_seconds()
        processes = {name: 1e6 * (used[name] - before.get(name, 0.0)) / jobs for name in used}
        parts, slowed, not_sampled = {}, None, missing_sampler()
        if not_sampled is None:
            say(f"{jobs} jobs while processes are sampled")
            with Sampler(_chosen()) as sampler:
                slowed = run(jobs) / seconds
            not_sampled = sampler.failed
        if not_sampled is None:
            parts = {
                name: {part: share * processes[name] for part, share in of_process.items()}
                for name, of_process in sampler.shares().items()
            }
    return Account(
        machine=machine,
        jobs=jobs,
        seconds=seconds,
        jobs_per_second=jobs / seconds,
        processes=processes,
        parts=parts,
        slowed=slowed if parts else None,
        not_sampled=not_sampled,
    )


def _pictures(folder: Path, count: int) -> Sequence[Picture]:
    content = pyvips.Image.black(_SIDE, _SIDE, bands=3).pngsave_buffer()
    out = folder / "out"
    out.mkdir()
    pictures = [
        Picture(folder / f"{number}.png", out / f"{number}.png", replaces=True)
        for number in range(count)
    ]
    for picture in pictures:
        picture.source.write_bytes(content)
    return pictures


def cpu_seconds() -> dict[str, float]:
    """Seconds of CPU so far of this process and of those below it, by what they are."""
    spent: dict[str, float] = defaultdict(float)
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # It has ended meanwhile.
            times = process.cpu_times()
            spent[_CLIENT if process == this else _kind(process)] += times.user + times.system
    return spent


def _chosen() -> dict[str, int]:
    """The server process and one worker, by what they are: those whose parts are asked for."""
    chosen: dict[str, int] = {}
    for process in psutil.Process().children(recursive=True):
        if (kind := _kind(process)) in (_PROCESSES["dpip up"], _PROCESSES["dpip worker"]):
            chosen.setdefault(kind, process.pid)
    return chosen


def _kind(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((kind for words, kind in _PROCESSES.items() if words in command), "others")


def _lines(costs: dict[str, float]) -> list[str]:
    largest_first = sorted(costs.items(), key=lambda cost: -cost[1])
    return [
        f"{cost:10.0f}  {what}"
        for what, cost in [*largest_first, ("together", sum(costs.values()))]
    ]
