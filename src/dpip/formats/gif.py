"""GIF: the logical screen, and a walk over all blocks to measure and count the images on it."""

import struct
from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_MOST_SUB_BLOCKS = 1_000_000
_SIGNATURE_LENGTH = 6
_FIRST_WINDOW, _WINDOW = 1 << 6, 1 << 12
_EXTENSION, _IMAGE = 0x21, 0x2C


class _Images(NamedTuple):
    """How many images there are, and how far the first one reaches across and down."""

    frames: int
    across: int
    down: int


def read_gif(reader: ByteReader) -> PictureHeader:
    """Read the logical screen and count the images on it. Raises ``Malformed``.

    Decoders make the screen as large as the first image asks for, and so does the header.
    """
    reader.skip(_SIGNATURE_LENGTH)
    width, height, flags = struct.unpack("<HHBxx", reader.read(7))
    _skip_colour_table(reader, flags)
    images = _measure_images(reader)
    return PictureHeader(
        format=PictureFormat.GIF,
        width=max(width, images.across),
        height=max(height, images.down),
        frames=images.frames,
    )


def _measure_images(reader: ByteReader) -> _Images:
    frames = across = down = 0
    sub_blocks_left = _MOST_SUB_BLOCKS
    while not reader.at_end:
        (kind,) = reader.read(1)
        if kind == _IMAGE:
            frames += 1
            left, top, width, height, flags = struct.unpack("<HHHHB", reader.read(9))
            if frames == 1:
                across, down = left + width, top + height
            _skip_colour_table(reader, flags)
        elif kind != _EXTENSION:
            # The trailer, or the garbage that some programs leave in its place.
            break
        reader.skip(1)  # The kind of extension, or the width of the image's codes.
        sub_blocks_left = _skip_sub_blocks(reader, sub_blocks_left)
    if not frames:
        raise Malformed("there is no image in it")
    return _Images(frames, across, down)


def _skip_colour_table(reader: ByteReader, flags: int) -> None:
    if flags & 0x80:
        reader.skip(3 << (flags & 0x07) + 1)


def _skip_sub_blocks(reader: ByteReader, left: int) -> int:
    # There is one for every 255 bytes of pixels, so they are walked over in memory. The first look
    # is a short one: most chains that are no pixels, and those of tiny frames, end within it.
    size = _FIRST_WINDOW
    while True:
        window = reader.peek(size)
        size = _WINDOW
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
