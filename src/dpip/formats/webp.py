"""WebP: the first chunk of a RIFF file, and the frames of an animation."""

import struct

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_RIFF_LENGTH = 12
_CHUNK_HEAD = 8
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
    frames = 0
    while len(head := reader.peek(_CHUNK_HEAD)) == _CHUNK_HEAD:
        kind, length = struct.unpack("<4sL", head)
        frames += kind == b"ANMF"
        reader.skip(_CHUNK_HEAD + length)
        if length % 2 and not reader.at_end:
            reader.skip(1)
    if not frames:
        raise Malformed("it is an animation without frames")
    return frames


def _header(width: int, height: int, *, alpha: bool, frames: int = 1) -> PictureHeader:
    return PictureHeader(
        format=PictureFormat.WEBP,
        width=width,
        height=height,
        frames=frames,
        bands=4 if alpha else 3,
    )
