"""The limits that Linux's control groups set this process, as those of a container do."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_NO_LIMIT = 2**53
"""Version 1 writes a number as large as it can for none."""
_MICRO, _NANO = 1e-6, 1e-9


class MemoryLimit(Struct, frozen=True, kw_only=True):
    """Bytes that a group may have, and what of them is free; ``group`` identifies it."""

    total: int
    available: int
    group: int


class CpuLimit(Struct, frozen=True, kw_only=True):
    """How many CPUs a group may use up at once, and the seconds of CPU that it has used so far.

    ``used`` is ``None`` where the kernel does not tell it beside the limit.
    """

    cpus: float
    used: float | None


class ControlGroups:
    """The groups that this process is in, and those above them: of version 2, 1, or both."""

    def __init__(self, root: Path = ROOT, membership: Path = MEMBERSHIP) -> None:
        """``root`` is where the groups are mounted, ``membership`` names those of this process."""
        self._groups = list(dict.fromkeys(_groups(root, membership)))

    def memory_limits(self) -> list[MemoryLimit]:
        """Return all limits, the innermost group's first.

        What a group holds of files that it has not used for a while counts as free: the kernel
        drops it when there is need.
        """
        return [limit for group in self._groups if (limit := _memory_limit(group))]

    def cpu_limit(self) -> CpuLimit | None:
        """Return the least of the limits, ``None`` without one."""
        limits = [limit for group in self._groups if (limit := _cpu_limit(group))]
        return min(limits, key=lambda limit: limit.cpus, default=None)


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # No Linux.
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        mounts = (root / controllers,) if controllers else (root, root / "unified")
        for mount in mounts:
            group = mount / path.lstrip("/")
            # Within a container its own group is the root, whatever it is called outside.
            for each in (group, *group.parents):
                if each.is_relative_to(mount) and _has_limits(each):
                    yield each


def _has_limits(group: Path) -> bool:
    files = ("memory.max", "memory.limit_in_bytes", "cpu.max", "cpu.cfs_quota_us")
    return any((group / file).exists() for file in files)


def _memory_limit(group: Path) -> MemoryLimit | None:
    for limit, usage, idle_files in (
        ("memory.max", "memory.current", b"inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file"),
    ):
        total = _number(group / limit)
        if total is not None and total < _NO_LIMIT:
            used = (_number(group / usage) or 0) - (_entry(group / "memory.stat", idle_files) or 0)
            available = min(total, max(0, total - used))
            return MemoryLimit(total=total, available=available, group=group.stat().st_ino)
    return None


def _cpu_limit(group: Path) -> CpuLimit | None:
    match _words(group / "cpu.max"):
        case [quota, period] if quota.isdigit():
            used = _entry(group / "cpu.stat", b"usage_usec")
            return _share(int(quota), int(period), used, _MICRO)
    quota_us, period_us = (_number(group / f"cpu.cfs_{each}_us") for each in ("quota", "period"))
    if quota_us and period_us and quota_us > 0:
        return _share(quota_us, period_us, _number(group / "cpuacct.usage"), _NANO)
    return None


def _share(quota: int, period: int, used: int | None, unit: float) -> CpuLimit:
    return CpuLimit(cpus=quota / period, used=None if used is None else used * unit)


def _words(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().split()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    match _words(file):
        case [word] if word.lstrip(b"-").isdigit():
            return int(word)
    return None


def _entry(file: Path, name: bytes) -> int | None:
    words = _words(file)
    return int(words[words.index(name) + 1]) if name in words else None
