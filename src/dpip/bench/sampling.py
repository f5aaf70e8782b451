"""Where running processes spend their time, by part of the system: samples of their stacks.

py-spy looks at a process from outside, so the process needs no preparation. It counts who has the
interpreter's lock, because it cannot always tell a thread that waits from one that works. What a
process does without the lock is the rest of its CPU: SQLite, files, sockets, hashes.
"""

import shutil
import signal
import subprocess  # nosec B404 # runs py-spy alone
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_RATE = 100
_STOP_SECONDS = 30

_PARTS = {
    "/dpip/api/multipart": "API: forms and uploads",
    "/python_multipart/": "API: forms and uploads",
    "/dpip/api/upload": "API: forms and uploads",
    "/dpip/api/intake": "API: forms and uploads",
    "/dpip/formats/": "headers of pictures",
    "/dpip/controller/image_directories": "image store",
    "/sqlalchemy/": "database",
    "/dpip/controller/datastore/": "database",
    "/dpip/scheduler/": "placement",
    "/dpip/wire/": "bus",
    "/nats/": "bus",
    "/dpip/controller/": "controller",
    "/dpip/api/results_wait": "API: results",
    "/dpip/api/settled_feed": "API: results",
    "/dpip/api/": "API: requests",
    "/fastapi/": "HTTP framework",
    "/starlette/": "HTTP framework",
    "/uvicorn/": "HTTP framework",
    "/dpip/worker/image_client": "worker: downloads and uploads",
    "/aiohttp/": "worker: downloads and uploads",
    "/dpip/worker/slot": "worker: slots",
    "/dpip/worker/scratch": "worker: scratch files",
    "/dpip/worker/": "worker: agent",
}
"""Parts by what the path of a file has; a stack is of the innermost frame that has one."""

_OTHERS = "event loop and others"
_WITHOUT_LOCK = "system calls, SQLite and hashes, outside the interpreter"


def missing_sampler() -> str | None:
    """What to do where processes cannot be sampled; ``None`` where they can."""
    if _py_spy() is None:
        return "Parts are not shown, because py-spy is missing: pip install 'dpip[bench]'"
    return None


class Sampler:
    """Samples the stacks of processes, which have names, for as long as it is entered."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes
        self._folder = tempfile.TemporaryDirectory(prefix="dpip-samples-")
        self._running: list[subprocess.Popen[bytes]] = []
        self._cpu_seconds: Counter[str] = Counter()
        self.failed: str | None = None
        """Why there are no samples, once there should be."""

    def __enter__(self) -> Self:
        self._cpu_seconds.subtract(self._cpu())
        for number, pid in enumerate(self._processes.values()):
            command = [str(_py_spy()), "record", "--pid", str(pid), "--rate", str(_RATE)]
            command += ["--gil", "--format", "raw", "--full-filenames", "--duration", "unlimited"]
            command += ["--output", str(self._file(number))]
            self._running.append(
                subprocess.Popen(  # noqa: S603  # nosec B603 # of our own environment
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cpu_seconds.update(self._cpu())
        for process in self._running:
            process.send_signal(signal.SIGINT)  # It writes down what it has seen.
        for process in self._running:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        if not all(self._file(number).exists() for number in range(len(self._running))):
            self.failed = (
                "Parts are not shown, because py-spy could not look at the processes: it needs "
                "root's rights or, in a container, the capability SYS_PTRACE."
            )

    def shares(self) -> dict[str, dict[str, float]]:
        """The share of each part in the CPU that each process used, unless sampling ``failed``."""
        found = {}
        for number, name in enumerate(self._processes):
            file = self._file(number)
            counts = count_parts(file.read_text())
            samples = max(counts.total(), _RATE * self._cpu_seconds[name], 1)
            found[name] = {part: count / samples for part, count in counts.items()}
            found[name][_WITHOUT_LOCK] = 1 - counts.total() / samples
        return found

    def _cpu(self) -> dict[str, float]:
        times = {name: psutil.Process(pid).cpu_times() for name, pid in self._processes.items()}
        return {name: spent.user + spent.system for name, spent in times.items()}

    def _file(self, number: int) -> Path:
        return Path(self._folder.name, f"{number}.txt")


def count_parts(stacks: str) -> Counter[str]:
    """Samples by part, of lines such as ``main (a.py:1);work (/dpip/wire/codec.py:2) 17``."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_part(stack)] += int(count)
    return counts


def _part(stack: str) -> str:
    for frame in reversed(stack.split(";")):
        for path, part in _PARTS.items():
            if path in frame:
                return part
    return _OTHERS


def _py_spy() -> str | None:
    return shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
