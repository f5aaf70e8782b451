"""How a picture's file is encoded, as far as saving it alike needs it and libvips does not say."""

import struct
from pathlib import Path

_FIRST_BYTES = 1 << 16
_COMPRESSION = 259
_SHORT = 3
_TIFF_COMPRESSIONS = {
    1: "none",
    5: "lzw",
    7: "jpeg",
    8: "deflate",
    32773: "packbits",
    32946: "deflate",
}


def is_lossless_webp(file: Path) -> bool:
    """Whether the first frame of a WebP picture is compressed without loss."""
    with file.open("rb") as stream:
        start = stream.read(_FIRST_BYTES)
    lossless, lossy = start.find(b"VP8L"), start.find(b"VP8 ")
    return lossless >= 0 and (lossy < 0 or lossless < lossy)


def tiff_compression(file: Path) -> str:
    """The compression of the first page of a TIFF, by libvips' name for it.

    Compressions that are only for two colours, or that libvips does not write, give ``deflate``.
    """
    with file.open("rb") as stream:
        head = stream.read(16)
        order = "<" if head[:2] == b"II" else ">"
        (version,) = struct.unpack_from(f"{order}H", head, 2)
        big = version == 43
        (offset,) = struct.unpack_from(f"{order}Q" if big else f"{order}L", head, 8 if big else 4)
        stream.seek(offset)
        directory = stream.read(_FIRST_BYTES)
    count_size, entry_size, value_at = (8, 20, 12) if big else (2, 12, 8)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", directory)
    end = min(count_size + count * entry_size, len(directory))
    for entry in range(count_size, end - entry_size + 1, entry_size):
        tag, kind = struct.unpack_from(f"{order}HH", directory, entry)
        if tag == _COMPRESSION and kind == _SHORT:
            (value,) = struct.unpack_from(f"{order}H", directory, entry + value_at)
            return _TIFF_COMPRESSIONS.get(value, "deflate")
    return "none"
