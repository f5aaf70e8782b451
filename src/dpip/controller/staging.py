"""Pictures on their way into the image directories."""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from dpip.controller.medium import BLOCK, explained, in_thread
from dpip.errors import InvalidValue, TooLarge
from dpip.plain_files import NOT_FOLLOWED, open_plain

_WRITTEN_AT_ONCE = 256 * 1024
"""Bytes that wait in memory to be written, of each of many uploads at once."""
_OF_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EACCES})
"""Why a link, a socket, and what may not be read are not opened."""


class StagingFile:
    """Bytes on their way in, hashed as they come. Written in large blocks, off the event loop."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path = path
        self._file = file
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self._size = 0
        self.kept = False
        """Whether it is where it is to stay, for good."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far."""
        with explained():
            self._flush()
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        self._waiting += chunk
        self._size += len(chunk)
        if len(self._waiting) >= _WRITTEN_AT_ONCE:
            await in_thread(self._flush)

    def take_in(self, limit: int) -> None:
        """Count and hash what another process has written. Raises ``TooLarge``."""
        block = memoryview(bytearray(BLOCK))
        while length := self._file.readinto(block):
            self._hash.update(block[:length])
            self._size += length
            if self._size > limit:
                raise TooLarge(what="A picture", limit=limit, setting="limits.upload_bytes")

    def open(self) -> BinaryIO:
        """Open the bytes written so far for reading."""
        with explained():
            self._flush()
            return os.fdopen(open_plain(self._path.parent, PurePath(self._path.name)), "rb")

    async def discard(self) -> None:
        """Leave nothing behind that was not kept, and unlock what was."""
        if self.kept:
            self._file.close()
        elif not self._file.closed:
            await in_thread(self.close_and_unlink)

    def move_to(self, name: str, directory: int) -> None:
        """Rename the file to ``name`` in the open ``directory``.

        Its bytes are durable on return, its name is not.
        """
        self._flush()
        os.fsync(self._file.fileno())
        os.rename(self._path, name, dst_dir_fd=directory)

    def _flush(self) -> None:
        # In one piece: each call into the system is a chance to lose the interpreter's lock.
        block, self._waiting = self._waiting, bytearray()
        self._hash.update(block)
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]

    def close_and_unlink(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def create_locked(path: Path) -> FileIO:
    """Create the file and lock it."""
    while True:
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # A sweep came between the two.


def has_area(area: Path) -> bool:
    """Whether ``area`` is a directory of our own user, and no link to one."""
    try:
        seen = os.lstat(area)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid()


def adopt(area: Path, name: str, path: Path, limit: int) -> StagingFile:
    """Move the file ``name`` from ``area`` to ``path``, where whoever wrote it does not look.

    It is locked before it is there, and what is hashed is what was moved. Raises ``InvalidValue``
    for anything but a file of one name and of our own user, ``TooLarge``, ``FileNotFoundError``.
    """
    with _opened(area, NOT_FOLLOWED | os.O_DIRECTORY) as directory:
        file = _opened_file(directory, name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(name, path, src_dir_fd=directory)
            if not os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
                _remove(path)
                raise _not_taken(name)
        except BaseException as error:
            file.close()
            if isinstance(error, BlockingIOError):
                raise _not_taken(name) from error
            raise
    staged = StagingFile(path, file)
    try:
        staged.take_in(limit)
    except BaseException:
        staged.close_and_unlink()
        raise
    return staged


def remove_leftovers(staging: Path) -> None:
    """Remove what nobody holds: files of processes that have died, and their areas."""
    for path in staging.iterdir():
        with suppress(OSError), _opened(path, NOT_FOLLOWED) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)


def remove_tree(directory: Path) -> None:
    """Remove ``directory`` and what is in it, while others may be removing it too."""
    shutil.rmtree(directory, onerror=_unless_gone)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _opened_file(directory: int, name: str) -> FileIO:
    try:
        descriptor = os.open(name, NOT_FOLLOWED, dir_fd=directory)
    except OSError as error:
        if error.errno in _OF_NO_FILE:
            raise _not_taken(name) from error
        raise
    seen = os.fstat(descriptor)
    if not (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1 and seen.st_uid == os.geteuid()):
        os.close(descriptor)
        raise _not_taken(name)
    return FileIO(descriptor, "rb")


def _not_taken(name: str) -> InvalidValue:
    return InvalidValue(
        field="staged",
        value=name,
        allowed="it names a file of the API's own user that no other name leads to",
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _unless_gone(_function: object, _path: object, error: Any) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
