"""Bytes put into files that libvips writes: metadata that it would leave out or garble."""

import mmap
import struct
from pathlib import Path
from typing import Any, BinaryIO

from dpip.filters.carried import Carried
from dpip.filters.cicp import SRGB, Cicp, profile_of
from dpip.filters.exif import EXIF_NAME, write_exif
from dpip.filters.failures import cannot_write
from dpip.filters.libvips import pyvips
from dpip.filters.png_chunks import HEAD_LENGTH, Chunk
from dpip.filters.profiles import PROFILE

MILLIMETRES = 25.4
"""Of an inch; libvips counts pixels a millimetre."""

_MOST_RESOLUTION = 65535
_SOI_LENGTH = 2
_JFIF, _EXIF = 0xE0, 0xE1

_ROOM = b"This is where the EXIF goes. "
_ROOM_FIELD = "exif-ifd0-ImageDescription"
_TIFF_HEADS = (b"II*\0", b"MM\0*")

_MOST_META = 1 << 16
_PROFILE_BOX = b"colrrICC"
_MATRIX, _FULL_RANGE = 6, 0x80
"""How libheif makes Y, Cb and Cr of colours: ITU-R BT.601, in full range."""


class Embedding:
    """Writes ``image`` to ``target`` by the saver of libvips that has that name."""

    def __init__(
        self, image: pyvips.Image, saver: str, options: dict[str, Any], target: Path
    ) -> None:
        self._image = image
        self._saver = saver
        self._options = options
        self._target = target

    def plain(self) -> None:
        """Write what libvips writes. Raises ``pyvips.Error``."""
        getattr(self._image, self._saver)(str(self._target), **self._options)

    def as_jpeg(self, carried: Carried) -> None:
        """Write a JPEG that has the resolution of the image, and the EXIF that is ``carried``.

        Raises ``pyvips.Error``, or what ``cannot_write`` returns.
        """
        segments = b""
        if inches := inches_of(self._image):
            segments += _segment(_JFIF, b"JFIF\0\1\1\1" + struct.pack(">HHxx", *inches))
        if exif := carried.block:
            segments += _segment(_EXIF, EXIF_NAME + exif)
        if segments:
            self._insert(segments, at=_SOI_LENGTH)
        else:
            self.plain()

    def as_png(self, carried: Carried) -> None:
        """Write a PNG that has the chunks and the EXIF that are ``carried``.

        Raises ``pyvips.Error``, or what ``cannot_write`` returns.
        """
        chunks = carried.chunks
        if carried.exif:
            chunks = (*chunks, Chunk(b"eXIf", write_exif(carried.exif)))
        if chunks:
            self._insert(b"".join(chunk.encoded() for chunk in chunks), at=HEAD_LENGTH)
        else:
            self.plain()

    def in_boxes(self, carried: Carried) -> None:
        """Write a WebP or an AVIF that has the EXIF and the code points that are ``carried``.

        Nothing that other parts of the file point to has to move: libvips leaves room for it.
        Raises ``pyvips.Error`` and ``OSError``.
        """
        exif = carried.block
        if exif:
            self._image = _with_room(self._image, len(exif))
            self._options["keep"] += "|exif"
        if carried.cicp is not None:
            self._image = _with_any_profile(self._image)
        self.plain()
        with self._target.open("r+b") as file:
            if exif:
                _fill_room(file, exif)
            if carried.cicp is not None:
                _declare(file, carried.cicp)

    def _insert(self, content: bytes, at: int) -> None:
        try:
            with self._target.open("wb") as file:
                insertion = _Insertion(file, content, at)
                try:
                    save = getattr(self._image, f"{self._saver}_target")
                    save(insertion.target, **self._options)
                except pyvips.Error:
                    if insertion.error is not None:
                        raise insertion.error from None
                    raise
        except OSError as error:
            self._target.unlink(missing_ok=True)
            raise cannot_write(str(error.strerror)) from error


def inches_of(image: pyvips.Image) -> tuple[int, int] | None:
    """Pixels an inch, across and down, as a JPEG can say it; ``None`` if its original does not."""
    if not image.get_typeof("resolution-unit"):
        return None
    across, down = (
        max(1, min(_MOST_RESOLUTION, round(resolution * MILLIMETRES)))
        for resolution in (image.xres, image.yres)
    )
    return across, down


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _with_room(image: pyvips.Image, size: int) -> pyvips.Image:
    """``image`` with EXIF of libvips' own that has as many bytes at least."""
    image = image.copy()
    for name in image.get_fields():
        if name.startswith("exif-"):
            image.remove(name)
    text = (_ROOM * (size // len(_ROOM) + 1)).decode()
    image.set_type(pyvips.GValue.gstr_type, _ROOM_FIELD, f"{text} ()")
    return image


def _fill_room(file: BinaryIO, exif: bytes) -> None:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        text = content.find(_ROOM)
        start = max(content.rfind(head, 0, text) for head in _TIFF_HEADS)
    end = text + len(_ROOM) * (len(exif) // len(_ROOM) + 1)
    file.seek(start)
    file.write(exif.ljust(end - start, b"\0"))


def _with_any_profile(image: pyvips.Image) -> pyvips.Image:
    """``image`` with a profile, in whose place others declare colours."""
    image = image.colourspace("srgb" if image.format == "uchar" else "rgb16")
    image.set_type(pyvips.GValue.blob_type, PROFILE, profile_of(SRGB))
    return image


def _declare(file: BinaryIO, cicp: Cicp) -> None:
    """Put ``cicp`` in the place of a profile, and a free box behind for what it takes less."""
    file.seek(0)
    start = file.read(_MOST_META)
    at = start.index(_PROFILE_BOX) - 4
    (length,) = struct.unpack_from(">L", start, at)
    meta_at = start.index(b"meta") - 4
    (meta_length,) = struct.unpack_from(">L", start, meta_at)
    box = struct.pack(">L8sHHHB", 19, b"colrnclx", *cicp, _MATRIX, _FULL_RANGE)
    spare = length - len(box)
    meta = bytearray(start[meta_at:at] + box + start[at + length : meta_at + meta_length])
    for parent in (b"meta", b"iprp", b"ipco"):
        place = meta.index(parent) - 4
        (size,) = struct.unpack_from(">L", meta, place)
        struct.pack_into(">L", meta, place, size - spare)
    file.seek(meta_at)
    file.write(meta + struct.pack(">L4s", spare, b"free") + bytes(spare - 8))


class _Insertion:
    """A file that libvips writes, with ``content`` at an offset."""

    def __init__(self, file: BinaryIO, content: bytes, at: int) -> None:
        self._file = file
        self._content = content
        self._before = at
        self.error: OSError | None = None
        """Why the file could not be written."""
        self.target: Any = pyvips.TargetCustom()
        self.target.on_write(self._write)

    def _write(self, written: bytes) -> int:
        before, behind = written[: self._before], written[self._before :]
        self._before -= len(before)
        try:
            self._file.write(before)
            if not self._before:
                self._file.write(self._content)
                self._content = b""
            self._file.write(behind)
        except OSError as error:
            self.error = error
            return -1
        return len(written)
