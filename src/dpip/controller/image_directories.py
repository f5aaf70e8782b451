"""The image store in directories: one for every workload, originals apart from results."""

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

from dpip.controller.orphan_sweep import sweep_orphans
from dpip.errors import ImageDamaged, StorageFull, StorageUnavailable
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.workload import Workload
from dpip.ports.datastore import Workloads
from dpip.ports.image_store import StagedFile

T = TypeVar("T")

_BLOCK = 1024 * 1024
_MOST_REMEMBERED = 10_000
"""Directories that are known to be durable."""
_STAGING = ".staging"
_UNSAFE = frozenset('/\\%:*?<>|"')
_LONGEST_SEGMENT = 150
"""Bytes of a workload's name in a path; file systems allow 255 a segment."""


class ImageDirectories:
    """Keeps images in ``<root>/<workload name>/<workload id>/original|filtered/``.

    Bytes come in under ``<root>/.staging/`` on the same file system, so that keeping them is a
    rename. A staged file is locked by the process that writes it; what a dead process left there
    is removed when the store is opened. The lock stays on the file when it is kept, until it is
    discarded: what is locked is about to be recorded.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / _STAGING
        self._durable: set[Path] = set()
        with _explained():
            self._staging.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()

    async def stage(self) -> "StagingFile":
        """Begin to take bytes in."""
        return await _in_thread(self._stage)

    async def keep(self, staged: StagedFile, image: Image) -> None:
        """Move ``staged`` to its place and make it durable, as the port promises."""
        assert isinstance(staged, StagingFile)  # noqa: S101  # nosec B101 # for the type checker
        await _in_thread(self._keep, staged, self.path(image))

    async def read(
        self, image: Image, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Iterate over bytes of ``image`` in blocks of at most 1 MiB."""
        left = image.size - start if length is None else length
        reader = await _in_thread(_Reader, self.path(image), image)
        try:
            if left < image.size:
                await _in_thread(reader.check)
                await _in_thread(reader.seek, start)
            while left > 0:
                block = await _in_thread(reader.read, min(left, _BLOCK))
                left -= len(block)
                yield block
        finally:
            reader.close()

    async def remove(self, image: Image) -> None:
        """Forget the bytes of ``image``."""
        await _in_thread(self.path(image).unlink, True)

    async def remove_workload(self, workload: Workload) -> None:
        """Forget the bytes of all images of ``workload``."""
        await _in_thread(self._remove_workload, workload)

    async def sweep(self, workloads: Workloads) -> int:
        """Forget what ``workloads`` does not know, as the port promises."""
        return await sweep_orphans(self._root, workloads)

    def path(self, image: Image) -> Path:
        """Where the bytes of ``image`` lie."""
        directory = self._directory(image.workload_name, image.workload_id)
        return directory / image.kind.value / f"{image.id}{image.header.format.suffix}"

    def _stage(self) -> "StagingFile":
        self._staging.mkdir(parents=True, exist_ok=True)  # Somebody may have tidied up.
        return StagingFile(self._staging / new_id())

    def _directory(self, workload_name: str, workload_id: str) -> Path:
        return self._root / directory_name(workload_name) / workload_id

    def _remove_workload(self, workload: Workload) -> None:
        directory = self._directory(workload.name, workload.id)
        self._durable = {known for known in self._durable if known.parent != directory}
        if directory.exists():
            shutil.rmtree(directory)

    def _keep(self, staged: "StagingFile", target: Path) -> None:
        directory = target.parent
        directory.mkdir(parents=True, exist_ok=True)
        # The first time here: another upload may have made the directories a moment ago, and not
        # have got as far as to make them durable.
        above = () if directory in self._durable else directory.parents
        inside = [parent for parent in above if parent.is_relative_to(self._root)]
        staged.move_to(target, [directory, *inside])
        if len(self._durable) >= _MOST_REMEMBERED:
            self._durable.clear()
        self._durable.add(directory)

    def _remove_leftovers(self) -> None:
        for path in self._staging.iterdir():
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


class StagingFile:
    """Bytes on their way in, hashed as they come. Written in large blocks, off the event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _locked(path)
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self._size = 0
        self._kept = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far."""
        with _explained():
            self._flush()
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        self._waiting += chunk
        self._size += len(chunk)
        if len(self._waiting) >= _BLOCK:
            await _in_thread(self._flush)

    def open(self) -> BinaryIO:
        """Open the bytes written so far for reading."""
        with _explained():
            self._flush()
            return self._path.open("rb")

    async def discard(self) -> None:
        """Leave nothing behind that was not kept, and unlock what was."""
        if self._kept:
            self._file.close()
        elif not self._file.closed:
            await _in_thread(self._close_and_unlink)

    def move_to(self, target: Path, directories: Iterable[Path]) -> None:
        """Rename the file to ``target``; durable on return, and the ``directories`` with it."""
        self._flush()
        os.fsync(self._file.fileno())
        self._path.rename(target)
        try:
            for directory in directories:
                _sync_directory(directory)
        except OSError:
            target.unlink()  # What may not last is not kept.
            raise
        self._kept = True

    def _flush(self) -> None:
        # In one piece: each call into the system is a chance to lose the interpreter's lock.
        block, self._waiting = self._waiting, bytearray()
        self._hash.update(block)
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]

    def _close_and_unlink(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


class _Reader:
    """Reads an image. What is read from its beginning to its end is compared by its hash."""

    def __init__(self, path: Path, image: Image) -> None:
        self._image = image
        try:
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise ImageDamaged(id=image.id, what="missing") from error
        self.seek(0)

    def check(self) -> None:
        """Read all of it. Raises ``ImageDamaged``."""
        while self._length < self._image.size:
            self.read(_BLOCK)

    def seek(self, start: int) -> None:
        self._file.seek(start)
        self._hash = hashlib.sha256()
        self._length = 0

    def read(self, length: int) -> bytes:
        block = self._file.read(length)
        if not block:
            raise ImageDamaged(id=self._image.id, what="cut short")
        self._hash.update(block)
        self._length += len(block)
        if self._length == self._image.size and self._hash.hexdigest() != self._image.sha256:
            raise ImageDamaged(id=self._image.id, what="not those that were kept")
        return block

    def close(self) -> None:
        self._file.close()


def directory_name(workload_name: str) -> str:
    """Return ``workload_name`` as one segment of a path that cannot lead anywhere else.

    What is unsafe in a path is percent-encoded, a dot at the beginning too, and a long name is
    cut: the workload's id, which follows it, tells workloads apart.
    """
    safe = "".join(_encoded(character) for character in workload_name).strip()
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    cut = safe.encode(errors="replace")[:_LONGEST_SEGMENT].decode(errors="ignore").rstrip()
    return cut or "_"


def _encoded(character: str) -> str:
    if character.isprintable() and character not in _UNSAFE:
        return character
    return quote(character, safe="", errors="replace")


def _locked(path: Path) -> FileIO:
    """Create the file and lock it."""
    while True:
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # A sweep came between the two.


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    with _explained():
        return await asyncio.to_thread(function, *arguments)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise StorageUnavailable(storage="image store", reason=error.strerror or error) from error
