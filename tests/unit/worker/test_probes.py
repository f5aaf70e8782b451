import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pynvml
import pytest

from dpip.worker import own_processes
from dpip.worker.gpus import Gpus
from dpip.worker.own_processes import OwnProcesses
from dpip.worker.probes import ResourceProbe, Smoothed

MIB = 2**20
HOLDS_MEMORY = f"held = bytearray(b'x' * {64 * MIB}); print(1, flush=True); input()"
BURNS_CPU = "import time\nwhile time.process_time() < 0.2: pass\nprint(1, flush=True); input()"
HAS_A_CHILD = (
    "import subprocess, sys; "
    f"subprocess.run([sys.executable, '-c', {BURNS_CPU!r}], stdin=sys.stdin)"
)


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that says when it is where it wants to be, and stays there."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.communicate(b"\n")


@pytest.mark.parametrize(("percent", "cpu"), [(100.4, 1.0), (-0.2, 0.0), (25.0, 0.25)])
def test_a_load_just_beyond_the_whole_is_the_whole(
    monkeypatch: pytest.MonkeyPatch, percent: float, cpu: float
) -> None:
    """What an operating system rounds up costs no worker its heartbeat."""
    monkeypatch.setattr(psutil, "cpu_percent", lambda percpu=False: percent)
    assert probe().read().cpu == cpu


def probe() -> ResourceProbe:
    own = OwnProcesses(os.getpid())
    return ResourceProbe(own, own)


def test_a_reading_says_where_it_was_taken() -> None:
    """Two processes of a machine say the same of it."""
    here = probe().read()
    program = (
        "from tests.unit.worker.test_probes import probe\n"
        "reading = probe().read()\nprint(reading.machine, reading.processor, sep='\\n')"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert there.stdout.splitlines() == [here.machine, here.processor]
    assert len(here.machine) == 16
    assert here.processor
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert 0 < here.memory_ours < here.memory_total


def test_a_load_is_smoothed_over_time() -> None:
    """The first reading counts as it is; three seconds of another, in one or many, for 63 %."""
    at_once, bit_by_bit = Smoothed(), Smoothed()
    assert at_once.add(0.2, 1.0) == bit_by_bit.add(0.2, 1.0) == 0.2
    for _ in range(30):
        bit_by_bit.add(1.0, 0.1)
    assert at_once.add(1.0, 3.0) == pytest.approx(1 - 0.8 / math.e)
    assert bit_by_bit.value == pytest.approx(at_once.value)


def test_memory_of_descendants_is_counted() -> None:
    """What a child has for itself is among what is ours."""
    own = OwnProcesses(os.getpid())
    before = own.memory()
    with running(HOLDS_MEMORY) as child:
        assert child.pid in own.pids()
        assert own.memory() - before >= 64 * MIB
    assert child.pid not in own.pids()


@pytest.mark.parametrize("program", [BURNS_CPU, HAS_A_CHILD])
def test_cpu_of_descendants_is_counted_once(program: str) -> None:
    """From when they start; what has been told is not told again."""
    own = OwnProcesses(os.getpid())
    with running(program):
        assert own.cpu_seconds() > 0.15  # Counted in hundredths, of two kinds.
        assert own.cpu_seconds() < 0.15


def test_a_process_that_has_gone_takes_nothing() -> None:
    """Neither memory nor CPU."""
    with running(HOLDS_MEMORY) as child:
        own = OwnProcesses(child.pid)
    assert (own.cpu_seconds(), own.memory()) == (0.0, 0)


def test_where_there_is_no_proc_the_same_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By psutil; libraries that are shared may count there."""
    with running(HAS_A_CHILD) as child:
        from_proc = OwnProcesses(child.pid)
        monkeypatch.setattr(own_processes, "_read", lambda _: None)
        by_psutil = OwnProcesses(child.pid)
        assert set(by_psutil.pids()) == set(from_proc.pids())
        assert by_psutil.memory() >= from_proc.memory() > 0
        assert by_psutil._seconds.keys() == from_proc._seconds.keys()


def test_others_are_who_is_not_familiar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU of one's own processes is no load of others."""
    own = OwnProcesses(os.getpid())
    monkeypatch.setattr(psutil, "cpu_percent", lambda percpu=False: 100.0)
    for ours, others in [(0.0, 1.0), (10_000.0, 0.0)]:
        reader = ResourceProbe(own, own)
        monkeypatch.setattr(own, "cpu_seconds", lambda seconds=ours: seconds)
        assert reader.read().cpu_others == others


class Driver:
    """NVML with one GPU."""

    def __init__(self, *, computing: list[int] | None, percent: int) -> None:
        self.computing, self.percent = computing, percent

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Gpus:
        def processes(_: object) -> list[object]:
            if self.computing is None:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return [type("Process", (), {"pid": pid})() for pid in self.computing]

        used = type("Used", (), {"gpu": self.percent})
        for name, stand_in in {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: 1,
            "nvmlDeviceGetHandleByIndex": lambda number: number,
            "nvmlDeviceGetName": lambda _: "H100",
            "nvmlDeviceGetComputeRunningProcesses": processes,
            "nvmlDeviceGetUtilizationRates": lambda _: used,
        }.items():
            monkeypatch.setattr(pynvml, name, stand_in)
        return Gpus()


@pytest.mark.parametrize(
    ("computing", "percent", "is_used"),
    [
        ([], 0, False),
        ([], 5, False),  # The desktop.
        ([], 60, True),  # A game.
        ([7], 0, True),
        ([1], 90, False),  # It is ours.
        ([1, 7], 90, True),
        (None, 5, False),  # The driver tells no processes.
        (None, 60, True),
    ],
)
def test_a_gpu_is_used_by_others(
    monkeypatch: pytest.MonkeyPatch, computing: list[int] | None, percent: int, is_used: bool
) -> None:
    """By who computes on it and is not ours, or draws much while none of ours is there."""
    gpus = Driver(computing=computing, percent=percent).install(monkeypatch)
    assert gpus.used_by_others([1, 2]) == ("GPU 0 (H100)" if is_used else None)
