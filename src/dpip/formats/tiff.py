"""TIFF and BigTIFF, in either byte order: the chain of image directories."""

import struct
from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_MOST_PAGES = 20_000
_MOST_FIELDS_OF_A_PAGE = 4096
_MOST_FIELDS = 400_000
_WIDTH, _HEIGHT, _BITS, _SAMPLES = 256, 257, 258, 277
_READ = {_WIDTH, _HEIGHT, _BITS, _SAMPLES}
_CODES = {1: "B", 3: "H", 4: "L", 16: "Q"}


class _Layout(NamedTuple):
    """How one flavour of TIFF lays out a directory."""

    order: str
    length: str
    offset: str
    entry_size: int
    value_at: int


def read_tiff(reader: ByteReader) -> PictureHeader:
    """Read every page's size; the header is that of the largest. Raises ``Malformed``."""
    start = reader.read(4)
    order = "<" if start.startswith(b"II") else ">"
    if b"+" in start:
        layout = _Layout(order, "Q", "Q", entry_size=20, value_at=12)
        if struct.unpack(f"{order}HH", reader.read(4)) != (8, 0):
            raise Malformed("its header is damaged")
    else:
        layout = _Layout(order, "H", "L", entry_size=12, value_at=8)
    pages = _read_pages(reader, layout)
    largest = max(pages, key=lambda page: page.width * page.height)
    return PictureHeader(
        format=PictureFormat.TIFF,
        width=largest.width,
        height=largest.height,
        frames=len(pages),
        bands=largest.samples,
        depth=largest.bits,
    )


class _Page(NamedTuple):
    width: int
    height: int
    samples: int
    bits: int


def _read_pages(reader: ByteReader, layout: _Layout) -> list[_Page]:
    pages: list[_Page] = []
    seen: set[int] = set()
    fields = 0
    while offset := _read_number(reader, layout.order, layout.offset):
        if offset in seen or len(pages) == _MOST_PAGES:
            raise Malformed("its pages have no end")
        seen.add(offset)
        reader.seek(offset)
        count = _read_number(reader, layout.order, layout.length)
        fields += count
        if count > _MOST_FIELDS_OF_A_PAGE or fields > _MOST_FIELDS:
            raise Malformed("its pages have too many fields")
        pages.append(_read_page(reader, layout, count))
    if not pages:
        raise Malformed("there is no page in it")
    return pages


def _read_page(reader: ByteReader, layout: _Layout, count: int) -> _Page:
    entries = reader.read(count * layout.entry_size)
    next_page_at = reader.position
    fields: dict[int, int] = {}
    for at in range(0, len(entries), layout.entry_size):
        tag, kind = struct.unpack_from(f"{layout.order}HH", entries, at)
        if tag in _READ and tag not in fields:  # Decoders take the first of a kind.
            fields[tag] = _first_value(reader, layout, entries[at : at + layout.entry_size], kind)
    reader.seek(next_page_at)
    return _Page(
        width=fields.get(_WIDTH, 0),
        height=fields.get(_HEIGHT, 0),
        samples=fields.get(_SAMPLES, 1),
        bits=fields.get(_BITS, 1),
    )


def _first_value(reader: ByteReader, layout: _Layout, entry: bytes, kind: int) -> int:
    code = _CODES.get(kind)
    if code is None:
        raise Malformed("a size is no number")
    (count,) = struct.unpack_from(f"{layout.order}{layout.offset}", entry, 4)
    inline = entry[layout.value_at :]
    if count * struct.calcsize(f"={code}") <= len(inline):
        return int(struct.unpack_from(f"{layout.order}{code}", inline)[0])
    reader.seek(struct.unpack(f"{layout.order}{layout.offset}", inline)[0])
    return _read_number(reader, layout.order, code)


def _read_number(reader: ByteReader, order: str, code: str) -> int:
    form = struct.Struct(f"{order}{code}")
    return int(form.unpack(reader.read(form.size))[0])
