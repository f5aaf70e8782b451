"""Where a worker's pictures lie while it works on them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dpip.errors import DpipError

_PREFIX = "dpip-worker-"


class ScratchUnusable(DpipError):
    """The worker's own disk does not take a picture; that is no fault of the picture."""

    code = "scratch_unusable"
    sentence = "There is no room in worker.scratch_dir, or it cannot be used: {reason}."


@contextmanager
def scratch_directory(parent: Path | None) -> Iterator[Path]:
    """Give a directory of one's own below ``parent``, by default the system's temporary one.

    It is locked for as long as the process uses it. What workers that were killed have left there,
    with the pictures in it, is removed first.
    """
    place = Path(parent or tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*"):
        _remove_unless_used(left)
    directory, lock = _new_directory(place)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _new_directory(place: Path) -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        with suppress(FileNotFoundError):  # Another worker has cleaned up before it was locked.
            lock = _locked(directory)
            if directory.exists():
                return directory, lock
            os.close(lock)


def _remove_unless_used(directory: Path) -> None:
    with suppress(OSError):  # It is used, or somebody else's.
        lock = _locked(directory)
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _locked(directory: Path) -> int:
    """Open and lock ``directory``. Raises ``OSError`` where that is not possible at once."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
