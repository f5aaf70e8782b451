"""Directories of EXIF and TIFF fields, read and written byte for byte.

EXIF 2.32 (CIPA DC-008) has the structure of TIFF 6.0. libvips shows a field as text and writes that
text again, which garbles some; here a value is bytes from end to end.
"""

import io
import struct
from collections.abc import Callable
from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed

ORIENTATION, PIXELS_ACROSS, PIXELS_DOWN = 0x0112, 0xA002, 0xA003
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
SHORT, LONG = 3, 4

_SUBDIRECTORIES = {EXIF, GPS, INTEROPERABILITY}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_HALVES = {5, 10}
"""Kinds of two numbers each: fractions."""

_MOST_FIELDS = 4096
_MOST_BYTES = 1 << 22
"""Of all values together. A block may say that every field's value is all of it."""

_DEEPEST = 2
"""Directories below the first: EXIF, and interoperability below that."""

EXIF_NAME = b"Exif\0\0"
"""In front of EXIF in some formats."""


def _any_tag(_: int) -> bool:
    return True


class Field(NamedTuple):
    """Value of a field: as many numbers or characters of ``kind``, or a directory."""

    kind: int
    numbers: int
    value: "bytes | Directory"


Directory = dict[int, Field]
"""Fields by their tag."""


class Layout(NamedTuple):
    """How a flavour of TIFF lays out a directory: ``struct`` codes, and sizes in bytes."""

    order: str
    length: str = "H"
    offset: str = "L"
    entry_size: int = 12
    inline: int = 4

    @property
    def length_size(self) -> int:
        """Bytes of the number of fields."""
        return struct.calcsize(f"={self.length}")


def classic(order: str) -> Layout:
    """The layout of EXIF and TIFF; ``order`` is ``<`` or ``>``."""
    return Layout(order)


def big(order: str) -> Layout:
    """The layout of BigTIFF."""
    return Layout(order, "Q", "Q", 20, 8)


class Exif(NamedTuple):
    """What EXIF says, in the byte order in which it says it."""

    order: str
    directory: Directory


def read_exif(block: bytes) -> Exif | None:
    """What ``block`` says, as far as it can be read; ``None`` if it is no EXIF.

    A thumbnail is left out.
    """
    block = block.removeprefix(EXIF_NAME)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return None
    (at,) = struct.unpack_from(f"{order}L", block, 4)
    return Exif(order, read_directory(ByteReader(io.BytesIO(block)), classic(order), at))


def read_directory(
    reader: ByteReader, layout: Layout, at: int, wanted: Callable[[int], bool] = _any_tag
) -> Directory:
    """The fields of the directory at ``at`` and those below it whose tags are ``wanted``.

    Damaged ones are passed over.
    """
    return _Reading(reader, layout, wanted).directory(at, depth=0)


class _Reading:
    """Reads directories; the work is bounded whatever the bytes claim."""

    def __init__(self, reader: ByteReader, layout: Layout, wanted: Callable[[int], bool]) -> None:
        self._reader = reader
        self._layout = layout
        self._wanted = wanted
        self._bytes_left = _MOST_BYTES
        self._fields_left = _MOST_FIELDS

    def directory(self, at: int, depth: int) -> Directory:
        directory: Directory = {}
        for entry in self._entries(at):
            tag, kind = struct.unpack_from(f"{self._layout.order}HH", entry)
            if not self._wanted(tag):
                continue
            try:
                field = self._field(tag, kind, entry, depth)
            except Malformed:
                continue
            if field is not None:
                directory.setdefault(tag, field)
        return directory

    def _entries(self, at: int) -> list[bytes]:
        layout = self._layout
        try:
            self._reader.seek(at)
            count = self._number(layout.length)
            self._fields_left -= count
            if self._fields_left < 0:
                return []
            return [self._reader.read(layout.entry_size) for _ in range(count)]
        except Malformed:
            return []

    def _field(self, tag: int, kind: int, entry: bytes, depth: int) -> Field | None:
        layout = self._layout
        (count,) = struct.unpack_from(f"{layout.order}{layout.offset}", entry, 4)
        inline = entry[-layout.inline :]
        if tag in _SUBDIRECTORIES:
            (at,) = struct.unpack_from(f"{layout.order}{layout.offset}", inline)
            below = self.directory(at, depth + 1) if depth < _DEEPEST else {}
            return Field(LONG, 1, below) if below else None
        if kind not in _SIZES:
            return None
        size = count * _SIZES[kind]
        if size <= layout.inline:
            return Field(kind, count, inline[:size])
        self._bytes_left -= size
        if self._bytes_left < 0:
            return None
        self._reader.seek(struct.unpack(f"{layout.order}{layout.offset}", inline)[0])
        return Field(kind, count, self._reader.read(size))

    def _number(self, code: str) -> int:
        form = struct.Struct(f"{self._layout.order}{code}")
        return int(form.unpack(self._reader.read(form.size))[0])


def write_exif(exif: Exif) -> bytes:
    """An EXIF block, without the name in front of it that some formats have."""
    mark = b"II*\0" if exif.order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{exif.order}L", 8)
    return head + write_directory(exif.directory, classic(exif.order), len(head))


def write_directory(directory: Directory, layout: Layout, at: int) -> bytes:
    """``directory`` and its values, to lie at ``at`` and be the last of its chain."""
    entries, values = write_entries(directory, layout, at + _size(layout, len(directory)))
    return join_entries(entries, layout, following=0) + values


def write_entries(
    directory: Directory, layout: Layout, values_at: int
) -> tuple[dict[int, bytes], bytes]:
    """The entries of ``directory`` by their tag, and their values, to lie at ``values_at``."""
    entries: dict[int, bytes] = {}
    values = bytearray()
    for tag, (kind, count, value) in sorted(directory.items()):
        here = struct.pack(f"{layout.order}{layout.offset}", values_at + len(values))
        if isinstance(value, bytes) and len(value) <= layout.inline:
            inline = value.ljust(layout.inline, b"\0")
        elif isinstance(value, bytes):
            inline = here
            values += value + bytes(len(value) % 2)
        else:
            inline = here
            values += write_directory(value, layout, values_at + len(values))
        head = struct.pack(f"{layout.order}HH{layout.offset}", tag, kind, count)
        entries[tag] = head + inline
    return entries, bytes(values)


def join_entries(entries: dict[int, bytes], layout: Layout, following: int) -> bytes:
    """A directory of ``entries``, with the next one of its chain at ``following``."""
    return b"".join(
        (
            struct.pack(f"{layout.order}{layout.length}", len(entries)),
            *(entries[tag] for tag in sorted(entries)),
            struct.pack(f"{layout.order}{layout.offset}", following),
        )
    )


def _size(layout: Layout, fields: int) -> int:
    return layout.length_size + fields * layout.entry_size + struct.calcsize(f"={layout.offset}")


def in_order(directory: Directory, old: str, new: str) -> Directory:
    """``directory`` with its numbers in the byte order ``new`` in place of ``old``."""
    if old == new:
        return directory
    return {tag: _turned(field, old, new) for tag, field in directory.items()}


def _turned(field: Field, old: str, new: str) -> Field:
    if not isinstance(field.value, bytes):
        return field._replace(value=in_order(field.value, old, new))
    size = _SIZES[field.kind] // (2 if field.kind in _HALVES else 1)
    numbers = (field.value[at : at + size] for at in range(0, len(field.value), size))
    return field._replace(value=b"".join(number[::-1] for number in numbers))
