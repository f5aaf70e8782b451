"""What the slot lets its child have, kept by the kernel even if the slot itself hangs."""

import contextlib
import math
import os
import resource
import sys
import time
from collections.abc import Mapping

import psutil

from dpip.worker.privileges import real_user

_FILE_BYTES_OF_MEMORY = 4
"""A file may be so many times as long as memory is large. Pixels of a picture that has to be turned
lie in a file that libvips removes, and by the default limits on pictures need 3.2 times as much."""

_CLOCK_OF_CPU = 2
"""See clock_getcpuclockid(3): the kernel makes the clock of a process of this and its id."""


class ChildLimits:
    """Limits of the process ``pid``. The kernel is told of one only when it changes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._owner = os.getuid(), os.getgid()
        self._cpu_clock = ~pid << 3 | _CLOCK_OF_CPU
        self._set: dict[int, int] = {}

    def belong_to(self, uid: int, gid: int) -> None:
        """The process is another user's from now on."""
        self._owner = uid, gid

    def allow(self, *, memory: int, seconds: float) -> None:
        """Let the process have ``memory`` bytes of its own, and ``seconds`` of CPU from now on.

        The kernel refuses more memory at the moment it is asked for, before the slot's watch can
        see it. The limit is on data, not on addresses: those of libraries and mapped files cost no
        memory. No file that the process writes, its standard error included, gets longer than a
        few times ``memory``.
        """
        if sys.platform != "linux":
            return  # Elsewhere only a process itself can be limited, and the slot watches alone.
        # It has ended, which is seen elsewhere; or the kernel refuses, and the slot watches alone.
        with contextlib.suppress(OSError):
            wanted = {
                resource.RLIMIT_DATA: memory,
                resource.RLIMIT_FSIZE: _FILE_BYTES_OF_MEMORY * memory,
                resource.RLIMIT_CPU: math.ceil(self._spent() + seconds),
            }
            changed = {
                kind: limit for kind, limit in wanted.items() if self._set.get(kind) != limit
            }
            if changed:
                with real_user(*self._owner):
                    self._limit(changed)

    def _spent(self) -> float:
        try:
            return time.clock_gettime(self._cpu_clock)
        except OSError:  # It has ended, or is in a sandbox whose kernel has no such clock.
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(self._pid).cpu_times()
                return times.user + times.system
            raise ProcessLookupError from None

    def _limit(self, limits: Mapping[int, int]) -> None:
        for kind, limit in limits.items():
            _, most = resource.prlimit(self._pid, kind)
            allowed = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.prlimit(self._pid, kind, (allowed, most))
            self._set[kind] = limit
