"""A disk so small that a test can fill it."""

import errno
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_KIBIBYTE = 1024
_BYTES = 4 * _KIBIBYTE * _KIBIBYTE


class SmallDisk:
    """A file system of ``size`` bytes at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = _BYTES
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to be filled")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "tmpfs", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
