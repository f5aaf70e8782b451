"""How a picture's file is encoded, as far as saving it alike needs it and libvips does not say."""

from pathlib import Path

from dpip.filters.tiff_pages import pages_of
from dpip.formats import webp
from dpip.formats.byte_reader import ByteReader

_TIFF_COMPRESSIONS = {
    1: "none",
    5: "lzw",
    7: "jpeg",
    8: "deflate",
    32773: "packbits",
    32946: "deflate",
}


def is_lossless_webp(file: Path) -> bool:
    """Whether a WebP picture, or one of its frames, is compressed without loss."""
    with file.open("rb") as stream:
        return webp.is_lossless_webp(ByteReader(stream))


def tiff_compression(file: Path) -> str:
    """The compression of the first page of a TIFF, by libvips' name for it.

    Compressions that are only for two colours, or that libvips does not write, give ``deflate``.
    """
    return _TIFF_COMPRESSIONS.get(pages_of(file).kept[0].compression, "deflate")
