"""WebP: the first chunk of a RIFF file, and the frames of an animation."""

import struct
from collections.abc import Iterator

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_RIFF_LENGTH = 12
_CHUNK_HEAD = 8
_FRAME_HEAD = 16
_ALPHA, _ANIMATION = 0x10, 0x02


def read_webp(reader: ByteReader) -> PictureHeader:
    """Read the canvas and count the frames. Raises ``Malformed``."""
    reader.skip(_RIFF_LENGTH)
    kind, length = struct.unpack("<4sL", reader.read(_CHUNK_HEAD))
    match kind:
        case b"VP8 ":
            return _lossy(reader.read(10))
        case b"VP8L":
            return _lossless(reader.read(5))
        case b"VP8X":
            head = reader.read(10)
            reader.skip(length - len(head) + length % 2)
            return _extended(head, reader)
    raise Malformed("its first chunk is of no known kind")


def is_lossless_webp(reader: ByteReader) -> bool:
    """Whether its frame, or one of its frames, is compressed without loss. Raises ``Malformed``."""
    for kind, begin, end in _chunks(reader, _RIFF_LENGTH, _end(reader)):
        if kind == b"VP8L":
            return True
        if kind == b"ANMF" and any(
            inner == b"VP8L" for inner, _, _ in _chunks(reader, begin + _FRAME_HEAD, end)
        ):
            return True
    return False


def _lossy(head: bytes) -> PictureHeader:
    if head[3:6] != b"\x9d\x01\x2a":
        raise Malformed("its frame header is damaged")
    width, height = struct.unpack_from("<HH", head, 6)
    # The two highest bits ask for upscaling, which decoders leave to the viewer.
    return _header(width & 0x3FFF, height & 0x3FFF, alpha=False)


def _lossless(head: bytes) -> PictureHeader:
    if head[0] != 0x2F:
        raise Malformed("its frame header is damaged")
    (bits,) = struct.unpack_from("<L", head, 1)
    width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _header(width, height, alpha=bool(bits >> 28 & 1))


def _extended(head: bytes, reader: ByteReader) -> PictureHeader:
    flags = head[0]
    width = int.from_bytes(head[4:7], "little") + 1
    height = int.from_bytes(head[7:10], "little") + 1
    frames = _count_frames(reader) if flags & _ANIMATION else 1
    return _header(width, height, alpha=bool(flags & _ALPHA), frames=frames)


def _count_frames(reader: ByteReader) -> int:
    begin = reader.position
    chunks = _chunks(reader, begin, _end(reader))
    frames = sum(kind == b"ANMF" for kind, _, _ in chunks)
    if not frames:
        raise Malformed("it is an animation without frames")
    return frames


def _chunks(reader: ByteReader, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk from ``begin`` to ``end``, and where its content begins and ends."""
    while begin + _CHUNK_HEAD <= end:
        reader.seek(begin)
        kind, length = struct.unpack("<4sL", reader.read(_CHUNK_HEAD))
        begin = reader.position + length
        if begin > end:
            raise Malformed("it is cut off")
        yield kind, begin - length, begin
        begin += length % 2


def _end(reader: ByteReader) -> int:
    """Where the picture ends; what follows in the file is none of it."""
    reader.seek(4)
    return min(reader.size, 8 + int.from_bytes(reader.read(4), "little"))


def _header(width: int, height: int, *, alpha: bool, frames: int = 1) -> PictureHeader:
    return PictureHeader(
        format=PictureFormat.WEBP,
        width=width,
        height=height,
        frames=frames,
        bands=4 if alpha else 3,
    )
