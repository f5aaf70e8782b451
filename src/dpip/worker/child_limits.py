"""What the slot lets its child have, kept by the kernel even if the slot itself hangs."""

import contextlib
import math
import resource
import sys

import psutil

_FILE_BYTES_OF_MEMORY = 4
"""A file may be so many times as long as memory is large. Pixels of a picture that has to be turned
lie in a file that libvips removes, and by the default limits on pictures need 3.2 times as much."""


def limit_child(process: psutil.Process, *, memory: int, seconds: float) -> None:
    """Let ``process`` have ``memory`` bytes of its own, and ``seconds`` of CPU from now on.

    The kernel refuses more memory at the moment it is asked for, before the slot's watch can see
    it. The limit is on data, not on addresses: those of libraries and mapped files cost no memory.
    No file that the process writes, its standard error included, gets longer than a few times
    ``memory``.
    """
    if sys.platform != "linux":
        return  # Elsewhere only a process itself can be limited, and the slot watches alone.
    with contextlib.suppress(psutil.Error, OSError):  # It has ended, which is seen elsewhere.
        times = process.cpu_times()
        spent = times.user + times.system
        _set_limit(process.pid, resource.RLIMIT_DATA, memory)
        _set_limit(process.pid, resource.RLIMIT_FSIZE, _FILE_BYTES_OF_MEMORY * memory)
        _set_limit(process.pid, resource.RLIMIT_CPU, math.ceil(spent + seconds))


def _set_limit(pid: int, kind: int, limit: int) -> None:
    _, most = resource.prlimit(pid, kind)
    allowed = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.prlimit(pid, kind, (allowed, most))
