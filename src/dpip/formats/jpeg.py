"""JPEG: segments up to the frame header."""

import struct

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_MOST_SEGMENTS = 20_000
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_NOT_FRAMES = {0xC4, 0xC8, 0xCC}
_FRAMES = set(range(0xC0, 0xD0)) - _NOT_FRAMES
_SCAN, _END = 0xDA, 0xD9


def read_jpeg(reader: ByteReader) -> PictureHeader:
    """Read the first frame header. Raises ``Malformed``."""
    reader.skip(2)
    for _ in range(_MOST_SEGMENTS):
        prefix, marker = reader.read(2)
        if prefix != 0xFF:
            raise Malformed("its segments are damaged")
        if marker == 0xFF:  # Any number of these may fill the space before a marker.
            reader.skip(-1)
            continue
        if marker in _STANDALONE:
            continue
        if marker in (_SCAN, _END):
            raise Malformed("it has no frame header")
        (length,) = struct.unpack(">H", reader.read(2))
        if marker in _FRAMES:
            depth, height, width, bands = struct.unpack(">BHHB", reader.read(6))
            return PictureHeader(
                format=PictureFormat.JPEG, width=width, height=height, bands=bands, depth=depth
            )
        if length < 2:
            raise Malformed("its segments are damaged")
        reader.skip(length - 2)
    raise Malformed("it has too many segments")
