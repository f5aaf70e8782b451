"""Chunks of PNG that libvips leaves out, byte for byte (PNG specification, third edition)."""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed

HEAD_LENGTH = 33
"""Bytes of a PNG up to the end of its header chunk, behind which other chunks may be put."""

_SIGNATURE_LENGTH = 8
_MOST_BYTES = 1 << 22
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_COLOURS = {b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI", b"mDCv", b"cLLi"}


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
        return struct.pack(">L", len(self.content)) + body + struct.pack(">L", zlib.crc32(body))


def read_chunks(source: Path) -> list[Chunk]:
    """The chunks of text and of colours in ``source``, as far as they can be read."""
    chunks: list[Chunk] = []
    bytes_left = _MOST_BYTES
    with source.open("rb") as file:
        reader = ByteReader(file)
        try:
            reader.skip(_SIGNATURE_LENGTH)
            while not reader.at_end:
                length, kind = struct.unpack(">L4s", reader.read(8))
                if (kind in _TEXTS or kind in _COLOURS) and length <= bytes_left:
                    bytes_left -= length
                    content = reader.read(length)
                    (checksum,) = struct.unpack(">L", reader.read(4))
                    if checksum == zlib.crc32(kind + content):
                        chunks.append(Chunk(kind, content))
                else:
                    reader.skip(length + 4)
        except Malformed:
            pass
    return chunks
