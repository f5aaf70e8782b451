"""Chunks of PNG that libvips leaves out, byte for byte (PNG specification, third edition)."""

import mmap
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

HEAD_LENGTH = 33
"""Bytes of a PNG up to the end of its header chunk, behind which other chunks may be put."""

_SIGNATURE_LENGTH = 8
_MOST_BYTES = 1 << 22
_MOST_CHUNKS = 200_000
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_COLOURS = {b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI", b"mDCv", b"cLLi"}
_READ = _TEXTS | _COLOURS
_HEAD = struct.Struct(">L4s")
_CHUNK_HEAD, _CHECKSUM = 8, 4
"""Bytes before and behind the content of a chunk."""


class Chunk(NamedTuple):
    """A piece of a PNG."""

    kind: bytes
    content: bytes

    @property
    def declares_colours(self) -> bool:
        """Whether it says how colours are meant."""
        return self.kind in _COLOURS

    @property
    def keyword(self) -> bytes | None:
        """What its text is about; ``None`` if it has no text."""
        return self.content.partition(b"\0")[0] if self.kind in _TEXTS else None

    def encoded(self) -> bytes:
        """Its bytes in a file."""
        body = self.kind + self.content
        return struct.pack(">L", len(self.content)) + body + _checksum(body)


def read_chunks(source: Path) -> list[Chunk]:
    """The chunks of text and of colours in ``source``, as far as they can be read."""
    chunks: list[Chunk] = []
    bytes_left = _MOST_BYTES
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as png:
        at = _SIGNATURE_LENGTH
        for _ in range(_MOST_CHUNKS):
            if at + _CHUNK_HEAD > len(png):
                break
            length, kind = _HEAD.unpack_from(png, at)
            content_at, at = at + _CHUNK_HEAD, at + _CHUNK_HEAD + length + _CHECKSUM
            if kind not in _READ or length > bytes_left or at > len(png):
                continue
            bytes_left -= length
            content = png[content_at : content_at + length]
            if png[at - _CHECKSUM : at] == _checksum(kind + content):
                chunks.append(Chunk(kind, content))
    return chunks


def _checksum(content: bytes) -> bytes:
    return struct.pack(">L", zlib.crc32(content))
