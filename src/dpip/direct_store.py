"""The image directories of an API, as another process reaches them on its own file system.

The rights of the process are all that opens them. What it hands in lies in a directory of its own,
whose name only it and the API can tell: that the API sees it there proves that both mean the same
directories, and that the process may write to them.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path, PurePath
from typing import BinaryIO

from msgspec import Struct

from dpip.model.ids import new_id
from dpip.model.image_place import STAGING, staging_area
from dpip.plain_files import open_plain, opened_directory

_BLOCK = 256 * 1024


class Staged(Struct, frozen=True, kw_only=True):
    """A file in the staging area: its name there, its SHA-256, and the file, open for reading."""

    name: str
    sha256: str
    file: BinaryIO


class DirectStore:
    """Reads from the image directories, and stages what is to come into them.

    Every method raises ``OSError``. Those that copy block: they are for a thread.
    """

    def __init__(self, images: Path, token: str) -> None:
        """Make the staging area of whoever has ``token``, and hold it until it is closed.

        Raises ``OSError`` where there are no image directories, or this process may not write.
        """
        self._images = images
        self._area = images / STAGING / staging_area(token)
        self._lock = _made_and_locked(self._area)

    def reopened(self, token: str) -> "DirectStore | None":
        """The same image directories for whoever has ``token``, if they still let it in."""
        try:
            return DirectStore(self._images, token)
        except OSError:
            return None

    def close(self) -> None:
        """Remove the staging area, with what is left in it."""
        shutil.rmtree(self._area, ignore_errors=True)
        os.close(self._lock)

    def length(self, place: PurePath) -> int:
        """Bytes of the image at ``place``."""
        with os.fdopen(open_plain(self._images, place), "rb", buffering=0) as source:
            return os.fstat(source.fileno()).st_size

    def copy_out(self, place: PurePath, sha256: str, target: Path) -> bool:
        """Copy the image at ``place`` to ``target``; whether its bytes are those that were kept."""
        with (
            os.fdopen(open_plain(self._images, place), "rb", buffering=0) as source,
            target.open("wb", buffering=0) as sink,
        ):
            return _copy(source, sink) == sha256

    def link_out(self, place: PurePath, sha256: str, target: Path) -> bool:
        """Have ``target`` be another name of the image at ``place``, or else a copy of it.

        Whether its bytes are those that were kept. Nobody may write to it.
        """
        try:
            with opened_directory(self._images, place.parent) as directory:
                os.link(place.name, target, src_dir_fd=directory, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # Another file system, one without links, or another user's.
            return self.copy_out(place, sha256, target)
        is_kept = False
        try:
            with open(target, "rb", buffering=0, opener=_at_once) as source:
                is_kept = _digest(source) == sha256
        finally:
            if not is_kept:
                target.unlink()
        return is_kept

    def move_in(self, source: Path) -> Staged:
        """Move ``source`` into the staging area, or copy it there from another file system.

        Nobody may be able to write to it. What is returned has to be passed to ``put_back``, or to
        ``let_go``.
        """
        name = new_id()
        staged = self._area / name
        file = open(source, "rb", buffering=0, opener=_at_once)  # noqa: SIM115
        try:
            try:
                source.rename(staged)
                sha256 = _digest(file)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                with staged.open("xb", buffering=0) as sink:
                    sha256 = _copy(file, sink)
        except BaseException:
            with file:
                self._put_back(name, file, source)
            raise
        return Staged(name=name, sha256=sha256, file=file)

    def put_back(self, staged: Staged, source: Path) -> None:
        """Have it at ``source`` again, though the API may have taken it, and lost it since."""
        with staged.file:
            self._put_back(staged.name, staged.file, source)

    def let_go(self, staged: Staged) -> None:
        """Remove it, if the API has not taken it."""
        staged.file.close()
        self.forget(staged.name)

    def _put_back(self, name: str, file: BinaryIO, source: Path) -> None:
        if source.exists():
            self.forget(name)
            return
        try:
            (self._area / name).rename(source)
        except FileNotFoundError:
            file.seek(0)
            try:
                with source.open("xb", buffering=0) as sink:
                    _copy(file, sink)
            except BaseException:
                source.unlink(missing_ok=True)
                raise

    def stage(self, source: Path) -> str:
        """Copy ``source`` into the staging area without a look at its bytes; its name there."""
        name = new_id()
        try:
            shutil.copyfile(source, self._area / name)
        except BaseException:
            self.forget(name)
            raise
        return name

    def forget(self, name: str) -> None:
        """Remove what is staged under ``name``, if the API has not taken it."""
        (self._area / name).unlink(missing_ok=True)


def _at_once(path: str, flags: int) -> int:
    """Open it, or fail: no pipe and no lease that a stranger left there is waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _copy(source: BinaryIO, sink: BinaryIO) -> str:
    return _digest(source, sink)


def _digest(source: BinaryIO, sink: BinaryIO | None = None) -> str:
    """SHA-256 of ``source``, which is copied to ``sink``, if there is one."""
    digest = hashlib.sha256()
    seen = os.fstat(source.fileno())
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, "It is no regular file")
    left = seen.st_size
    # One for all: it stays in the processor's cache.
    block = memoryview(bytearray(min(_BLOCK, left + 1)))
    while length := source.readinto(block):  # type: ignore[attr-defined]
        left -= length
        if left < 0:  # Whoever writes to it while it is copied could go on for ever.
            raise OSError(errno.EFBIG, "It has grown while it was copied")
        piece = block[:length]
        digest.update(piece)
        while sink and piece:
            piece = piece[sink.write(piece) :]
    return digest.hexdigest()


def _made_and_locked(directory: Path) -> int:
    while True:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # Swept before it was locked.
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if directory.exists():
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
