"""Fields of TIFF files that libvips neither reads nor writes."""

import struct
from collections.abc import Callable
from pathlib import Path

from dpip.filters.exif import (
    Exif,
    Layout,
    big,
    classic,
    in_order,
    join_entries,
    read_directory,
    write_entries,
)
from dpip.formats.byte_reader import ByteReader, Malformed

RESOLUTION = (282, 283, 296)

_BIG_VERSION = 43


def read_fields(source: Path, place: int, wanted: Callable[[int], bool]) -> Exif:
    """The fields whose tags are ``wanted`` of the page at ``place`` of ``source``, or below it."""
    with source.open("rb") as file:
        reader = ByteReader(file)
        try:
            layout, pointer_at = _read_head(reader)
            at = _read_number(reader, layout, layout.offset, pointer_at)
            for _ in range(place):
                count = _read_number(reader, layout, layout.length, at)
                reader.skip(count * layout.entry_size)
                at = _read_number(reader, layout, layout.offset, reader.position)
        except Malformed:
            return Exif("<", {})
        return Exif(layout.order, read_directory(reader, layout, at, wanted))


def write_fields(target: Path, fields: Exif) -> None:
    """Have the first page of ``target`` say ``fields``, and no resolution but one among them.

    A new directory is put at its end, so nothing that is there moves. Raises ``OSError``.
    """
    with target.open("r+b") as file:
        reader = ByteReader(file)
        layout, pointer_at = _read_head(reader)
        at = _read_number(reader, layout, layout.offset, pointer_at)
        count = _read_number(reader, layout, layout.length, at)
        entries = {}
        for _ in range(count):
            entry = reader.read(layout.entry_size)
            (tag,) = struct.unpack_from(f"{layout.order}H", entry)
            entries[tag] = entry
        following = _read_number(reader, layout, layout.offset, reader.position)
        for tag in RESOLUTION:
            entries.pop(tag, None)
        end = reader.size + reader.size % 2
        new, values = write_entries(
            in_order(fields.directory, fields.order, layout.order), layout, end
        )
        directory = join_entries(entries | new, layout, following)
        file.seek(end)
        file.write(values + directory)
        file.seek(pointer_at)
        file.write(struct.pack(f"{layout.order}{layout.offset}", end + len(values)))


def _read_head(reader: ByteReader) -> tuple[Layout, int]:
    """The layout, and where the offset of the first directory is."""
    start = reader.read(4)
    order = "<" if start.startswith(b"II") else ">"
    (version,) = struct.unpack(f"{order}H", start[2:])
    return (big(order), 8) if version == _BIG_VERSION else (classic(order), 4)


def _read_number(reader: ByteReader, layout: Layout, code: str, at: int) -> int:
    form = struct.Struct(f"{layout.order}{code}")
    reader.seek(at)
    return int(form.unpack(reader.read(form.size))[0])
