"""How much memory a process occupies, and has occupied at most."""

import os
from collections.abc import Callable

import psutil

_RESET_PEAK = b"5"
"""See proc_pid_clear_refs(5)."""
_LONGEST_STATUS = 16 * 1024
_THREAD_BYTES = 32 * 1024
"""What the kernel keeps for one: its stack, and what describes it."""
_KIB = 1024


class ProcessMemory:
    """Memory of another process, in bytes; 0 once it has ended.

    That is what it has in memory or swapped out, what the kernel keeps for its pages and threads,
    and what it holds in files in memory, which ``held_in_files`` tells. The kernel of Linux knows
    the peak of what is in memory. Where it does not tell it, or not since when, the peak is the
    largest of the readings that were taken.
    """

    def __init__(self, process: psutil.Process, held_in_files: Callable[[], int]) -> None:
        self._process = process
        self._held_in_files = held_in_files
        self._files = f"/proc/{process.pid}"
        self._largest_reading = 0
        self._is_kept = False

    def forget_peak(self) -> None:
        """Have the peak be that from now on."""
        self._largest_reading = 0
        try:
            file = os.open(f"{self._files}/clear_refs", os.O_WRONLY)
            try:
                os.write(file, _RESET_PEAK)
            finally:
                os.close(file)
            self._is_kept = True
        except OSError:
            self._is_kept = False

    def now(self) -> int:
        """What it occupies."""
        status = self._status()
        if b"RssAnon" in status:
            # Pages of its files in memory count once, mapped or not.
            in_files = max(status[b"RssShmem"] * _KIB, self._held_in_files())
            counted = (b"RssAnon", b"RssFile", b"VmSwap", b"VmPTE")
            reading = sum(status.get(name, 0) for name in counted) * _KIB
            reading += status[b"Threads"] * _THREAD_BYTES + in_files
        else:
            try:
                reading = int(self._process.memory_info().rss)
            except psutil.Error:
                return 0
        self._largest_reading = max(self._largest_reading, reading)
        return reading

    def threads(self) -> int:
        """How many threads it has; 0 where the kernel does not tell."""
        return self._status().get(b"Threads", 0)

    def peak(self) -> int:
        """The most that it has occupied since ``forget_peak``."""
        kept = self._status().get(b"VmHWM", 0) * _KIB if self._is_kept else 0
        return max(kept or self.now(), self._largest_reading)

    def _status(self) -> dict[bytes, int]:
        """The numbers of proc_pid_status(5); memory is in KiB."""
        try:
            file = os.open(f"{self._files}/status", os.O_RDONLY)
            try:
                content = os.read(file, _LONGEST_STATUS)
            finally:
                os.close(file)
        except OSError:
            return {}
        fields = (line.partition(b":") for line in content.splitlines())
        return {
            name: int(value.split()[0])
            for name, _, value in fields
            if value.split()[:1] and value.split()[0].isdigit()
        }
