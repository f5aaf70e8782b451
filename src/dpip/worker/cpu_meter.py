"""How busy the CPUs are that this process may use."""

import os
import time

import psutil
from msgspec import Struct

from dpip.worker.control_groups import ControlGroups, CpuLimit


class CpuReading(Struct, frozen=True, kw_only=True):
    """What was used of ``cpus`` in the last ``seconds``: the ``load``, 0 to 1."""

    load: float
    seconds: float
    cpus: float


class CpuMeter:
    """Measures from one reading to the next.

    The whole is what this process may use: all CPUs or those that it is bound to, whoever else uses
    them; or, within the limit of a control group, that limit, and what the group uses of it.
    """

    def __init__(self, groups: ControlGroups) -> None:
        self._groups = groups
        self._cpus = usable_cpus()
        self._at = time.monotonic()
        self._limit = groups.cpu_limit()
        self._load_of_cpus()

    def read(self) -> CpuReading:
        """Return what was used since the reading before."""
        now, limit = time.monotonic(), self._groups.cpu_limit()
        # The clocks of CPUs tick a hundred times a second.
        seconds = max(now - self._at, 0.01)
        load, cpus = self._load_of_cpus(), float(len(self._cpus))
        if limit and limit.cpus < cpus:
            cpus = limit.cpus
            used = _used_since(self._limit, limit)
            load = load if used is None else used / seconds / cpus
        self._at, self._limit = now, limit
        # Clocks of several cores that are read one after the other add up to a little more.
        return CpuReading(load=min(1.0, max(0.0, load)), seconds=seconds, cpus=cpus)

    def _load_of_cpus(self) -> float:
        if len(self._cpus) == psutil.cpu_count():
            return psutil.cpu_percent() / 100
        loads = psutil.cpu_percent(percpu=True)
        own = [loads[cpu] for cpu in self._cpus if cpu < len(loads)]
        return sum(own) / max(1, len(own)) / 100


def usable_cpus() -> list[int]:
    """The numbers of the CPUs on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(psutil.cpu_count() or 1))


def _used_since(before: CpuLimit | None, now: CpuLimit) -> float | None:
    if before is None or before.used is None or now.used is None:
        return None
    return now.used - before.used
