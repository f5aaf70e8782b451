"""A worker's reading within control groups of this kernel, where a test may make some."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from dpip.model.worker import Resources

MIB = 2**20
ROOT = Path("/sys/fs/cgroup")
MEMORY = (("", "memory.max", str(300 * MIB)), ("memory", "memory.limit_in_bytes", str(300 * MIB)))
CPU = (("", "cpu.max", "50000 100000"), ("cpu", "cpu.cfs_quota_us", "50000"))

PROGRAM = """
import os, sys
from pathlib import Path
for group in sys.argv[1:]:
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
held = bytearray(b"x" * 100 * 2**20)
import msgspec
from dpip.compose import default_workers
from tests.unit.worker.test_probes import probe
print(default_workers())
print(msgspec.json.encode(probe().read()).decode())
"""


@contextmanager
def group_with(choices: tuple[tuple[str, str, str], ...]) -> Iterator[Path]:
    """Make a group with the first limit that this kernel takes; skip the test if none."""
    for hierarchy, file, limit in choices:
        group = ROOT / hierarchy / f"dpip-test-{os.getpid()}"
        try:
            group.mkdir(exist_ok=True)
        except OSError:
            continue
        try:
            if (group / file).exists():
                (group / file).write_text(limit)
                yield group
                return
        finally:
            with suppress(FileNotFoundError):  # Version 2 has one group for all limits.
                group.rmdir()
    pytest.skip("needs leave to make control groups")


def reading(*groups: Path) -> tuple[int, Resources]:
    """Of a process in these groups that holds 100 MiB: its default of workers, and its reading."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, groups)],
        capture_output=True,
        text=True,
        check=True,
    )
    workers, resources = done.stdout.splitlines()
    return int(workers), msgspec.json.decode(resources, type=Resources)


def test_a_reading_within_limits_is_that_of_the_limits() -> None:
    """Memory, what is left of it, cores, and the machine, which is another."""
    _, outside = reading()
    with ExitStack() as stack:
        groups = [stack.enter_context(group_with(choices)) for choices in (MEMORY, CPU)]
        workers, within = reading(*groups)
    assert within.memory_total == 300 * MIB < outside.memory_total
    assert 0 < within.memory_available <= 200 * MIB
    assert (workers, within.cores) == (1, 1)
    assert within.memory_ours >= 100 * MIB
    assert within.machine != outside.machine
    assert within.processor == outside.processor
