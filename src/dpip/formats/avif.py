"""AVIF: the boxes of an ISO base media file, down to the properties of its images."""

import struct
from typing import BinaryIO

from dpip.formats.boxes import FULL_BOX_HEAD, enter, read_box_head
from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_BRANDS = {b"avif", b"avis"}
_CODING, _OTHER_CODINGS = b"av1C", {b"hvcC", b"lhvC", b"vvcC", b"avcC", b"evcC", b"jpgC", b"j2kH"}
_MOST_BRANDS_BYTES = 1024


def read_avif(reader: ByteReader) -> PictureHeader:
    """Read the spatial extents and the depth of the largest image. Raises ``Malformed``.

    Largest, because thumbnails and the tiles of a grid have extents of their own. An image
    sequence counts as its primary image, which is what is filtered.
    """
    _check_brands(reader)
    end = _enter_properties(reader)
    width = height = 0
    bands, depth = 3, 8
    codings = set()
    while reader.position < end:
        kind, box_end = read_box_head(reader, end)
        if kind == b"ispe":
            across, down = struct.unpack(">4xLL", reader.read(12))
            if across * down > width * height:
                width, height = across, down
        elif kind == b"pixi":
            (channels,) = struct.unpack(">4xB", reader.read(5))
            if channels:
                bands, depth = max(bands, channels), max(depth, *reader.read(channels))
        elif kind == _CODING or kind in _OTHER_CODINGS:
            codings.add(kind)
        elif kind == b"auxC" and b":alpha" in reader.peek(min(box_end - reader.position, 256)):
            bands = 4
        reader.seek(box_end)
    if codings != {_CODING}:
        raise Malformed("its pixels are not coded as AV1: it may be HEIC")
    return PictureHeader(
        format=PictureFormat.AVIF, width=width, height=height, bands=bands, depth=depth
    )


def _check_brands(reader: ByteReader) -> None:
    _, end = read_box_head(reader, None)
    content = reader.read(min(end - reader.position, _MOST_BRANDS_BYTES))
    # The major brand, its version, and the compatible brands.
    if not _BRANDS & {content[at : at + 4] for at in (0, *range(8, len(content), 4))}:
        raise Malformed("it is HEIC or another media file, but no AVIF")
    reader.seek(end)


def _enter_properties(reader: ByteReader) -> int:
    """Move to the properties of the images; returns where they end."""
    end = enter(reader, b"meta", None)
    reader.skip(FULL_BOX_HEAD)
    end = enter(reader, b"iprp", end)
    return enter(reader, b"ipco", end)


def read_cicp(file: BinaryIO) -> tuple[int, int] | None:
    """The code points of colour primaries and transfer characteristics; ``None`` without any.

    They are those of the first image that says it, which is the primary one.
    """
    reader = ByteReader(file)
    try:
        _check_brands(reader)
        end = _enter_properties(reader)
        while reader.position < end:
            kind, box_end = read_box_head(reader, end)
            if kind == b"colr" and reader.peek(4) == b"nclx":
                primaries, transfer = struct.unpack(">4xHH", reader.read(8))
                return primaries, transfer
            reader.seek(box_end)
    except Malformed:
        pass
    return None
