"""The boxes of an ISO base media file."""

import struct
from collections.abc import Iterator

from dpip.formats.byte_reader import ByteReader, Malformed

FULL_BOX_HEAD = 4
"""Bytes of version and flags at the beginning of the content of some kinds of boxes."""

_SIZE_TO_END, _SIZE_IS_LONG = 0, 1


def boxes(reader: ByteReader, end: int | None) -> Iterator[tuple[bytes, int]]:
    """The kind of each box from here to ``end``, and where it ends.

    ``reader`` is at the box's content when it is yielded, and may be moved. Raises ``Malformed``.
    """
    stop = reader.size if end is None else end
    while reader.position < stop:
        kind, box_end = read_box_head(reader, stop)
        yield kind, box_end
        reader.seek(box_end)


def enter(reader: ByteReader, wanted: bytes, end: int | None) -> int:
    """Move to the content of the next box of kind ``wanted``; returns where it ends."""
    while end is None or reader.position < end:
        kind, box_end = read_box_head(reader, end)
        if kind == wanted:
            return box_end
        reader.seek(box_end)
    raise Malformed("it does not say how large it is")


def read_box_head(reader: ByteReader, end: int | None) -> tuple[bytes, int]:
    """Move to the content of the next box; returns its kind and where it ends."""
    begin = reader.position
    size, kind = struct.unpack(">L4s", reader.read(8))
    if size == _SIZE_IS_LONG:
        (size,) = struct.unpack(">Q", reader.read(8))
    elif size == _SIZE_TO_END:
        size = (reader.size if end is None else end) - begin
    box_end = begin + size
    if box_end < reader.position or (end is not None and box_end > end):
        raise Malformed("its boxes are damaged")
    return kind, box_end
