"""The directories of a TIFF or BigTIFF, in either byte order, and the fields in them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed

_MOST_DIRECTORIES = 20_000
_MOST_FIELDS_OF_A_DIRECTORY = 4096
_MOST_FIELDS = 400_000
_SIZES = dict(
    zip([*range(1, 14), 16, 17, 18], [1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 8, 8, 8], strict=True)
)
"""Bytes of one value by its type; the last three types are those of BigTIFF."""

_CODES = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}


class _Layout(NamedTuple):
    """How one flavour of TIFF lays out a directory."""

    order: str
    length: str
    offset: str
    entry_size: int
    value_at: int


class Directory:
    """One directory: fields by their tags, read when they are asked for."""

    def __init__(self, reader: ByteReader, layout: _Layout, entries: bytes) -> None:
        self._reader = reader
        self._layout = layout
        self._entries: dict[int, bytes] = {}
        for at in range(0, len(entries), layout.entry_size):
            entry = entries[at : at + layout.entry_size]
            (tag,) = struct.unpack_from(f"{layout.order}H", entry)
            self._entries.setdefault(tag, entry)  # Decoders take the first of a kind.
            self._check_is_there(entry)

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def number(self, tag: int, default: int) -> int:
        """The first value of ``tag``. Raises ``Malformed`` if it is not a whole number."""
        if tag not in self._entries:
            return default
        first = self._values(tag, 1)
        return first[0] if first else default

    def numbers(self, tag: int) -> tuple[int, ...]:
        """All values of ``tag``, none if it is missing. Raises ``Malformed``."""
        return self._values(tag, None) if tag in self._entries else ()

    def _check_is_there(self, entry: bytes) -> None:
        """Refuse values beyond the end of the file, without which decoders go on as they can."""
        order, offset = self._layout.order, self._layout.offset
        kind, count = struct.unpack_from(f"{order}H{offset}", entry, 2)
        size = count * _SIZES.get(kind, 0)
        inline = entry[self._layout.value_at :]
        if size > len(inline):
            (at,) = struct.unpack(f"{order}{offset}", inline)
            if at + size > self._reader.size:
                raise Malformed("it is cut off")

    def _values(self, tag: int, most: int | None) -> tuple[int, ...]:
        order, offset = self._layout.order, self._layout.offset
        entry = self._entries[tag]
        kind, count = struct.unpack_from(f"{order}H{offset}", entry, 2)
        code = _CODES.get(kind)
        if code is None:
            raise Malformed("a size is no number")
        inline = entry[self._layout.value_at :]
        size = struct.calcsize(f"={code}")
        wanted = count if most is None else min(count, most)
        if count * size <= len(inline):
            return struct.unpack_from(f"{order}{wanted}{code}", inline)
        self._reader.seek(struct.unpack(f"{order}{offset}", inline)[0])
        return struct.unpack(f"{order}{wanted}{code}", self._reader.read(wanted * size))


class Directories:
    """All directories that ``reader`` leads to. Raises ``Malformed``."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._layout = _layout(reader)
        self._first = self._number(self._layout.offset)
        self._seen: set[int] = set()
        self._fields = 0

    def chain(self) -> Iterator[Directory]:
        """The directories of the pages, one after another."""
        offset = self._first
        while offset:
            directory = self.at(offset)
            offset = self._number(self._layout.offset)
            yield directory

    def at(self, offset: int) -> Directory:
        """The directory that begins at ``offset``, at which none has been read before."""
        if offset in self._seen or len(self._seen) == _MOST_DIRECTORIES:
            raise Malformed("its pages have no end")
        self._seen.add(offset)
        self._reader.seek(offset)
        count = self._number(self._layout.length)
        self._fields += count
        if count > _MOST_FIELDS_OF_A_DIRECTORY or self._fields > _MOST_FIELDS:
            raise Malformed("its pages have too many fields")
        entries = self._reader.read(count * self._layout.entry_size)
        return Directory(self._reader, self._layout, entries)

    def _number(self, code: str) -> int:
        form = struct.Struct(f"{self._layout.order}{code}")
        return int(form.unpack(self._reader.read(form.size))[0])


def _layout(reader: ByteReader) -> _Layout:
    reader.seek(0)
    start = reader.read(4)
    order = "<" if start.startswith(b"II") else ">"
    if b"+" not in start:
        return _Layout(order, "H", "L", entry_size=12, value_at=8)
    if struct.unpack(f"{order}HH", reader.read(4)) != (8, 0):
        raise Malformed("its header is damaged")
    return _Layout(order, "Q", "Q", entry_size=20, value_at=12)
