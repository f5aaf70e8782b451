"""A disk so small that a test can fill it."""

import errno
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_KIBIBYTE = 1024
_MEBIBYTE = 1024 * _KIBIBYTE


class SmallDisk:
    """A file system of ``size`` bytes at ``path``."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._filling = path / "filling"

    def fill(self) -> None:
        """Leave no room for another byte."""
        with self._filling.open("ab", buffering=0) as file:
            for size in (64 * _KIBIBYTE, 1):
                with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                    file.writelines(itertools.repeat(bytes(size)))

    def make_room(self) -> None:
        """Take away what ``fill`` has put there."""
        self._filling.unlink()


@contextmanager
def mounted_disk(path: Path, size: int) -> Iterator[SmallDisk]:
    """Mount a disk of ``size`` bytes at ``path`` for the length of the block."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to be filled")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield SmallDisk(path, size)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted_disk(tmp_path / "disk", 4 * _MEBIBYTE) as disk:
        yield disk
