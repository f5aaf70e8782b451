"""PNG: the header chunk, and a walk over all chunks."""

import struct
import zlib

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.note import Note

_SIGNATURE_LENGTH = 8
_BANDS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_DEPTHS = {1, 2, 4, 8, 16}
_PALETTE = 3
_END = b"\0\0\0\0IEND\xaeB`\x82"
_OF_ANIMATIONS = {b"acTL", b"fcTL", b"fdAT"}
_BEFORE_PIXELS = 1 << 12
"""Bytes in which an animation says that it is one, if nothing long comes before."""


def read_png(reader: ByteReader) -> PictureHeader:
    """Read the header chunk; a palette counts as the colours it stands for. Raises ``Malformed``.

    An animated PNG counts as its default image, which is what is filtered.
    """
    reader.skip(_SIGNATURE_LENGTH)
    length, kind, width, height, depth, colour = struct.unpack(">L4sLLBB", reader.read(18))
    if length != 13 or kind != b"IHDR" or colour not in _BANDS or depth not in _DEPTHS:
        raise Malformed("its header chunk is damaged")
    return PictureHeader(
        format=PictureFormat.PNG,
        width=width,
        height=height,
        bands=_BANDS[colour],
        depth=8 if colour == _PALETTE else depth,
    )


def png_losses(reader: ByteReader) -> list[Note]:
    """What it holds beside its first picture.

    Raises ``Malformed`` if it is cut off, or what is not filtered of it is damaged.
    """
    if _ends_as_it_should(reader) and _is_plainly_still(reader):
        return []
    reader.seek(_SIGNATURE_LENGTH)
    lost = 0
    has_pixels = False
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">L4s", reader.read(8))
        if kind in _OF_ANIMATIONS:
            content = reader.read(length)
            if struct.pack(">L", zlib.crc32(kind + content)) != reader.read(4):
                raise Malformed("the checksum of a frame does not hold")
            # The one before the pixels is of the picture that is filtered.
            lost += kind == b"fcTL" and has_pixels
        else:
            has_pixels |= kind == b"IDAT"
            reader.skip(length)
            reader.read(4)
    return [Note.FRAMES_DROPPED] if lost else []


def _ends_as_it_should(reader: ByteReader) -> bool:
    reader.seek(max(0, reader.size - len(_END)))
    return reader.peek(len(_END)) == _END


def _is_plainly_still(reader: ByteReader) -> bool:
    """Whether pixels begin within a few bytes, and no animation before them."""
    reader.seek(0)
    start = reader.peek(_BEFORE_PIXELS)
    return b"acTL" not in start and b"IDAT" in start
