"""Measure what pictures that crash, hang and eat memory cost the healthy ones beside them.

In a real system two batches of the same healthy pictures take turns: alone, and with poison among
them. The poison is real too: a progressive JPEG that needs more than the least memory limit, a
picture that takes longer than a low time limit, and one whose process is sent SIGSEGV while it has
it open. The time for which poison occupies a slot, until the slot's next child is at work, is its
own cost, and reported apart.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pyvips

from dpip.client import Client
from dpip.client.local_system import local_system
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.worker.child_messages import ORIGINAL
from dpip.worker.slot import Slot, SlotFailure

JOB_SECONDS = 2.0
MEMORY = 256 * 1024 * 1024
LOOK_SECONDS = 0.003
FILTER = "blur:sigma=10"
SLOTS = 2


def poison() -> dict[str, bytes]:
    """The pictures by the code with which each has to fail; told apart by their sizes."""
    black = pyvips.Image.black(7000, 7000, bands=3)
    return {
        "out_of_memory": black.jpegsave_buffer(interlace=True, subsample_mode="off"),
        "timed_out": black.cast("ushort").bandjoin(0).pngsave_buffer(compression=1),
        "crashed": pyvips.Image.black(4000, 4000, bands=3).tiffsave_buffer(),
    }


class Watch(threading.Thread):
    """Sees which child process has which poison open, and sends SIGSEGV to one that crashes."""

    def __init__(self, agents: list[psutil.Process], sizes: dict[int, str]) -> None:
        super().__init__(daemon=True)
        self._agents = agents
        self._sizes = sizes
        self._done = threading.Event()
        self._killed: set[int] = set()
        self._child: dict[int, int] = {}
        self._gone: dict[int, float] = {}
        self.occupied: defaultdict[str, float] = defaultdict(float)
        self.idle_after_kill: list[float] = []

    def run(self) -> None:
        """Look again and again."""
        last = time.monotonic()
        while not self._done.wait(LOOK_SECONDS):
            now = time.monotonic()
            for agent in self._agents:
                self._look_at(agent, now, now - last)
            last = now

    def stop(self) -> None:
        """End it."""
        self._done.set()
        self.join()

    def _look_at(self, agent: psutil.Process, now: float, seconds: float) -> None:
        child = _child_of(agent)
        known = self._child.get(agent.pid)
        if known is not None and child != known:
            self._gone.setdefault(agent.pid, now)
        if child is None:
            return
        self._child[agent.pid] = child
        sizes = _open_sizes(child)
        if sizes and agent.pid in self._gone:
            self.idle_after_kill.append(now - self._gone.pop(agent.pid))
        for code in (self._sizes[size] for size in sizes if size in self._sizes):
            self.occupied[code] += seconds
            if code == "crashed" and child not in self._killed:
                self._killed.add(child)
                os.kill(child, signal.SIGSEGV)


def _child_of(agent: psutil.Process) -> int | None:
    for pid in Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split():
        try:
            if b"dpip.worker.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        except OSError:
            continue
    return None


def _open_sizes(pid: int) -> list[int]:
    """The sizes of the originals that a process has open."""
    try:
        files = [each for each in Path(f"/proc/{pid}/fd").iterdir() if _is_original(each)]
        return [each.stat().st_size for each in files]
    except OSError:  # The process has ended, or closed the file.
        return []


def _is_original(descriptor: Path) -> bool:
    return descriptor.readlink().name == ORIGINAL


def run_batch(
    client: Client, healthy: bytes, count: int, bad: dict[str, bytes]
) -> tuple[str, float, list[float]]:
    """Run a batch; its id, seconds until the last healthy picture, milliseconds on each."""
    workload = client.create_workload(FILTER)
    begin = time.monotonic()
    for number in range(count):
        if number == count // 4:
            for picture in bad.values():
                client.upload(workload.id, picture)
        client.upload(workload.id, healthy)
    healthy_seconds, milliseconds, after = 0.0, [], 0
    while after < count + len(bad):
        for result in client.results(workload.id, after=after, wait=5):
            after = result.position
            if result.milliseconds is not None:
                milliseconds.append(result.milliseconds)
                healthy_seconds = time.monotonic() - begin
    return workload.id, healthy_seconds, milliseconds


def measure(rounds: int, count: int) -> dict[str, object]:
    """Run the batches in turns and compare them."""
    bad = poison()
    sizes = {len(picture): code for code, picture in bad.items()}
    noise = pyvips.Image.gaussnoise(1000, 1000, mean=128, sigma=40).cast("uchar")
    healthy = noise.bandjoin([noise, noise]).pngsave_buffer(compression=1)
    settings = {
        "DPIP_LIMITS__JOB_MEMORY_BYTES": str(MEMORY),
        "DPIP_LIMITS__JOB_SECONDS": str(JOB_SECONDS),
    }
    alone: list[tuple[float, list[float]]] = []
    beside: list[tuple[float, list[float]]] = []
    poisoned = []
    with local_system(workers=SLOTS, settings=settings) as system, Client(system.api) as client:
        client.login(system.user, system.password)
        processes = psutil.Process().children(recursive=True)
        (up,) = (each for each in processes if "up" in each.cmdline())
        data_dir = up.cmdline()[up.cmdline().index("--data-dir") + 1]
        agents = [each for each in processes if "--worker-name" in each.cmdline()]
        run_batch(client, healthy, count // 4, {})  # To warm up.
        watch = Watch(agents, sizes)
        watch.start()
        for number in range(2 * rounds):
            with_poison = bool(number % 2)
            workload_id, seconds, milliseconds = run_batch(
                client, healthy, count, bad if with_poison else {}
            )
            (beside if with_poison else alone).append((seconds, milliseconds))
            if with_poison:
                poisoned.append(workload_id)
        watch.stop()
        agents_alive = all(each.is_running() for each in agents)
        database = sqlite3.connect(f"file:{data_dir}/dpip.db?mode=ro", uri=True)
        failed = database.execute(
            "SELECT failure_code, failures, count(*) FROM jobs WHERE state = 'failed' GROUP BY 1, 2"
        ).fetchall()
        disturbed = database.execute(
            "SELECT count(*) FROM jobs WHERE state = 'done' AND failures > 0"
        ).fetchone()[0]
        database.close()
    seconds_alone = statistics.median(seconds for seconds, _ in alone)
    seconds_beside = statistics.median(seconds for seconds, _ in beside)
    own = (sum(watch.occupied.values()) + sum(watch.idle_after_kill)) / rounds
    return {
        "rounds": rounds,
        "healthy_pictures_a_round": count,
        "healthy_came_back": all(len(times) == count for _, times in alone + beside),
        "healthy_with_a_failed_attempt": disturbed,
        "agents_alive": agents_alive,
        "poison": {code: {"failures": times, "jobs": jobs} for code, times, jobs in failed},
        "pixel_ms_alone": _mean_of(alone),
        "pixel_ms_beside": _mean_of(beside),
        "seconds_alone": seconds_alone,
        "seconds_beside": seconds_beside,
        "slot_seconds_of_poison": own,
        "lost_beyond_that": (seconds_beside - own / SLOTS) / seconds_alone - 1,
        "idle_after_kill": sorted(watch.idle_after_kill),
        "warm_up": asyncio.run(warm_ups(healthy)),
    }


def _mean_of(batches: list[tuple[float, list[float]]]) -> float:
    return statistics.fmean(each for _, times in batches for each in times)


async def warm_ups(picture: bytes, times: int = 10) -> list[float]:
    """Seconds from the kill of a child at work until its slot has the next one, warm."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "source.png"), Path(scratch, "target.png")
        slot = Slot(Path(scratch))
        await slot.start()
        took = []
        for _ in range(times):
            source.write_bytes(picture)  # A slot uses up what it is given.
            working = asyncio.create_task(
                slot.filter(
                    source,
                    target,
                    encode_pipeline(parse_pipeline(FILTER)),
                    PictureFormat.PNG,
                    memory_limit=MEMORY,
                    time_limit=30,
                )
            )
            await asyncio.sleep(0.005)  # Less than the picture takes.
            assert slot.pid  # noqa: S101  # nosec B101 # for the type checker
            begin = time.monotonic()
            os.kill(slot.pid, signal.SIGKILL)
            with contextlib.suppress(SlotFailure):
                await working
            await slot.start()
            took.append(time.monotonic() - begin)
        await slot.close()
        return sorted(took)


def main() -> int:
    """Print the comparison; the exit code is 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=200, help="healthy ones a batch")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = measure(arguments.rounds, arguments.pictures)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            if isinstance(value, list):
                value = f"median {statistics.median(value):.3f}, worst {max(value):.3f}"
            elif isinstance(value, float):
                value = f"{value:.3f}"
            print(f"{name:32}{value}")
    each_failed = {
        code: {"failures": 3, "jobs": arguments.rounds}
        for code in ("crashed", "out_of_memory", "timed_out")
    }
    kept = (
        found["healthy_came_back"]
        and not found["healthy_with_a_failed_attempt"]
        and found["agents_alive"]
        and found["poison"] == each_failed
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
