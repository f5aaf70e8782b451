"""Reads one image of the image directories, and gives out nothing that is not what was kept."""

import errno
import hashlib
import os
from pathlib import Path, PurePath

from dpip.errors import ImageDamaged
from dpip.model.image import Image
from dpip.plain_files import open_plain

SMALL_BYTES = 1024 * 1024
"""Of images up to this size, and of parts of any, the hash is compared before the first byte."""

_BLOCK = 128 * 1024
"""Bytes that are read at once, and so held for a client that takes its time."""

_NOT_PLAIN = {
    errno.ELOOP: "behind a symbolic link, which is not followed",
    errno.ENOTDIR: "behind a symbolic link, which is not followed",
    errno.EINVAL: "not in a regular file",
    errno.ENXIO: "not in a regular file",
}


class ImageReader:
    """Reads ``length`` bytes of ``image`` from ``start``, block by block. Its calls block.

    Raises ``ImageDamaged`` where the file is missing, a link, or of another size than the image:
    before the first byte. Where its hash is another, that is told before the first byte of a part
    or of an image of at most ``SMALL_BYTES``, and before the last block of others.
    """

    def __init__(self, root: Path, place: PurePath, image: Image, start: int, length: int) -> None:
        self._image = image
        try:
            self._file = os.fdopen(open_plain(root, place), "rb", buffering=0)
        except FileNotFoundError as error:
            raise self._damaged("missing") from error
        except OSError as error:
            if error.errno in _NOT_PLAIN:
                raise self._damaged(_NOT_PLAIN[error.errno]) from error
            raise
        self.left = length
        try:
            self._check_size()
            self._begin_at(0)
            if length < image.size or _BLOCK < image.size <= SMALL_BYTES:
                self._check_hash()
                self._begin_at(start)
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """Return the next block of those that are ``left``."""
        block = self._file.read(min(self.left, _BLOCK))
        self._count(block)
        self.left -= len(block)
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_size(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size < self._image.size:
            raise self._damaged("cut short")
        if size > self._image.size:
            raise self._damaged("not those that were kept")

    def _check_hash(self) -> None:
        block = memoryview(bytearray(_BLOCK))
        while self._length < self._image.size:
            self._count(block[: self._file.readinto(block)])

    def _begin_at(self, start: int) -> None:
        self._file.seek(start)
        self._hash = hashlib.sha256()
        self._length = 0

    def _count(self, block: bytes | memoryview) -> None:
        if not block:
            raise self._damaged("cut short")
        self._hash.update(block)
        self._length += len(block)
        if self._length == self._image.size and self._hash.hexdigest() != self._image.sha256:
            raise self._damaged("not those that were kept")

    def _damaged(self, what: str) -> ImageDamaged:
        return ImageDamaged(id=self._image.id, what=what)
