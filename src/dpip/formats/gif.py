"""GIF: the logical screen, and a walk over all blocks to count the frames."""

import struct

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_MOST_SUB_BLOCKS = 1_000_000
_SIGNATURE_LENGTH = 6
_WINDOW = 1 << 12
_EXTENSION, _IMAGE = 0x21, 0x2C


def read_gif(reader: ByteReader) -> PictureHeader:
    """Read the logical screen and count the images on it. Raises ``Malformed``."""
    reader.skip(_SIGNATURE_LENGTH)
    width, height, flags = struct.unpack("<HHBxx", reader.read(7))
    _skip_colour_table(reader, flags)
    return PictureHeader(
        format=PictureFormat.GIF, width=width, height=height, frames=_count_frames(reader)
    )


def _count_frames(reader: ByteReader) -> int:
    frames = 0
    sub_blocks_left = _MOST_SUB_BLOCKS
    while not reader.at_end:
        (kind,) = reader.read(1)
        if kind == _IMAGE:
            frames += 1
            (flags,) = reader.read(9)[8:]
            _skip_colour_table(reader, flags)
        elif kind != _EXTENSION:
            # The trailer, or the garbage that some programs leave in its place.
            break
        reader.skip(1)  # The kind of extension, or the width of the image's codes.
        sub_blocks_left = _skip_sub_blocks(reader, sub_blocks_left)
    if not frames:
        raise Malformed("there is no image in it")
    return frames


def _skip_colour_table(reader: ByteReader, flags: int) -> None:
    if flags & 0x80:
        reader.skip(3 << (flags & 0x07) + 1)


def _skip_sub_blocks(reader: ByteReader, left: int) -> int:
    # There is one for every 255 bytes of pixels, so they are walked over in memory.
    while True:
        window = reader.peek(_WINDOW)
        if not window:
            raise Malformed("it is cut off")
        at = 0
        while at < len(window):
            length = window[at]
            at += length + 1
            left -= 1
            if not length:
                reader.skip(at)
                return left
        if left < 0:
            raise Malformed("its structure goes on for too long")
        reader.skip(at)
