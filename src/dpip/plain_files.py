"""Files below a directory that no symbolic link leads to.

The names below the image directories are known, and what stands at them is a directory or a regular
file. A link in the place of either would have DPIP read, or write, what lies somewhere else.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

NOT_FOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Opens no link, and waits for no writer of a pipe."""

_DIRECTORY = NOT_FOLLOWED | os.O_DIRECTORY


def open_plain(root: Path, place: PurePath) -> int:
    """Open the file at ``place`` below ``root`` for reading; a descriptor.

    Raises ``OSError``: ``ELOOP`` or ``ENOTDIR`` where a link stands for the file or for a directory
    below ``root``, ``EINVAL`` for what is not a regular file.
    """
    with opened_directory(root, place.parent) as directory:
        descriptor = os.open(place.name, NOT_FOLLOWED, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is not a regular file", str(place))
    return descriptor


@contextmanager
def opened_directory(root: Path, place: PurePath, *, make: bool = False) -> Iterator[int]:
    """Have the directory at ``place`` below ``root`` open, as a descriptor.

    With ``make`` it is made where it is missing. Raises ``OSError`` as ``open_plain`` does.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in place.parts:
            above = descriptor
            try:
                descriptor = _opened(name, above, make=make)
            finally:
                if descriptor != above:
                    os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(name: str, above: int, *, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # Another upload was first.
        os.mkdir(name, dir_fd=above)
    return os.open(name, _DIRECTORY, dir_fd=above)
