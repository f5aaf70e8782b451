"""GIF: the logical screen, and a walk over all blocks to measure and count the images on it."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_MOST_SUB_BLOCKS = 1_000_000
_SIGNATURE_LENGTH = 6
_FIRST_WINDOW, _WINDOW = 1 << 6, 1 << 12
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_INTERLACED = 0x40
_CONTROL, _CONTROL_LENGTH, _HAS_TRANSPARENCY = b"\xf9\x04", 6, 0x01
_MOST_GARBAGE = 16
"""Bytes."""


class GifFrame(NamedTuple):
    """One image: where it lies on the screen, and where its codes begin and end in the file.

    ``colours`` is the length of its table, 0 if there is none; ``see_through`` is no colour.
    """

    left: int
    top: int
    width: int
    height: int
    is_interlaced: bool
    colours: int
    see_through: int | None
    begin: int
    end: int


def read_gif(reader: ByteReader) -> PictureHeader:
    """Read the logical screen and count the images on it. Raises ``Malformed``.

    Decoders make the screen as large as the first image asks for, and so does the header.
    """
    reader.seek(_SIGNATURE_LENGTH)
    width, height = struct.unpack("<HH", reader.read(4))
    frames = 0
    for frame in gif_frames(reader):
        if not frames:
            width = max(width, frame.left + frame.width)
            height = max(height, frame.top + frame.height)
        frames += 1
    if not frames:
        raise Malformed("there is no image in it")
    return PictureHeader(format=PictureFormat.GIF, width=width, height=height, frames=frames)


def gif_frames(reader: ByteReader) -> Iterator[GifFrame]:
    """Walk over all images, up to the trailer. Raises ``Malformed``."""
    reader.seek(_SIGNATURE_LENGTH)
    (flags,) = struct.unpack("<4xBxx", reader.read(7))
    shared_colours = _skip_colour_table(reader, flags)
    sub_blocks_left = _MOST_SUB_BLOCKS
    see_through = None
    while (kind := reader.read(1)[0]) != _TRAILER:
        if kind not in (_IMAGE, _EXTENSION):
            # The garbage that some programs leave in place of the trailer has no room for a frame.
            if reader.size - reader.position > _MOST_GARBAGE:
                raise Malformed("its blocks are damaged")
            break
        if kind == _EXTENSION:
            start = reader.peek(_CONTROL_LENGTH)
            if start.startswith(_CONTROL) and len(start) == _CONTROL_LENGTH:
                see_through = start[-1] if start[2] & _HAS_TRANSPARENCY else None
        else:
            left, top, width, height, flags = struct.unpack("<HHHHB", reader.read(9))
            colours = _skip_colour_table(reader, flags) or shared_colours
        begin = reader.position
        reader.skip(1)  # The kind of extension, or the width of the image's codes.
        sub_blocks_left = _skip_sub_blocks(reader, sub_blocks_left)
        if kind == _IMAGE:
            end = reader.position
            yield GifFrame(
                left=left,
                top=top,
                width=width,
                height=height,
                is_interlaced=bool(flags & _INTERLACED),
                colours=colours,
                see_through=see_through,
                begin=begin,
                end=end,
            )
            see_through = None
            reader.seek(end)


def _skip_colour_table(reader: ByteReader, flags: int) -> int:
    """Pass over a colour table, if ``flags`` say that there is one; returns its colours."""
    if not flags & 0x80:
        return 0
    colours = 2 << (flags & 0x07)
    reader.skip(3 * colours)
    return colours


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
