"""The directory in which a child works."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
_BLOCK = 512
"""Of what stat(2) counts in."""


class Room:
    """Files of a child: those in the directory ``path``, and ``words``, its standard error.

    The child may make and write files there, and not remove them, so that they are in sight.
    """

    def __init__(self, path: Path, words: IO[bytes]) -> None:
        self.path = path
        self._words = words
        self._is_in_memory = _kind_of_file_system(path) in _IN_MEMORY

    def held_in_memory(self) -> int:
        """Bytes of memory that the files take, which are none on a disk."""
        if not self._is_in_memory:
            return 0
        sizes = [os.fstat(self._words.fileno()).st_blocks]
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            sizes += (entry.stat(follow_symlinks=False).st_blocks for entry in entries)
        return sum(sizes) * _BLOCK

    def has_more_than(self, files: int) -> bool:
        """Whether there are more than so many ``files``, each of which takes kernel memory."""
        with os.scandir(self.path) as entries:
            return any(at >= files for at, _ in enumerate(entries))

    def clear(self) -> None:
        """Remove all files."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(OSError):  # No file, where nothing keeps a child from making others.
                    Path(entry).unlink()


def _kind_of_file_system(path: Path) -> str:
    """See proc_pid_mountinfo(5)."""
    if sys.platform != "linux":
        return ""
    device = path.stat().st_dev
    identity = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == identity:
            return source.split()[0]
    return ""
