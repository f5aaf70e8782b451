"""How much memory a process occupies, and has occupied at most."""

import os

import psutil

_RESET_PEAK = b"5"
"""See proc_pid_clear_refs(5)."""
_LONGEST_STATUS = 16 * 1024


class ProcessMemory:
    """Memory of another process, in bytes; 0 once it has ended.

    The kernel of Linux knows the peak. Where it does not tell it, or not since when, the peak is
    the largest of the readings that were taken.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
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
        try:
            reading = int(self._process.memory_info().rss)
        except psutil.Error:
            return 0
        self._largest_reading = max(self._largest_reading, reading)
        return reading

    def peak(self) -> int:
        """The most that it has occupied since ``forget_peak``."""
        kept = self._kept_by_the_kernel()
        return max(kept or self.now(), self._largest_reading)

    def _kept_by_the_kernel(self) -> int:
        if not self._is_kept:
            return 0
        try:
            file = os.open(f"{self._files}/status", os.O_RDONLY)
            try:
                status = os.read(file, _LONGEST_STATUS)
            finally:
                os.close(file)
        except OSError:
            return 0
        _, _, rest = status.partition(b"\nVmHWM:")
        return int(rest.split(maxsplit=1)[0]) * 1024 if rest else 0
