"""The strips and tiles of a TIFF, as far as their bytes tell whether they are whole."""

import zlib

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.formats.tiff import Page
from dpip.formats.tiff_directory import Directories, Directory

_WIDTH, _HEIGHT, _BITS, _SAMPLES, _PLANAR = 256, 257, 258, 277, 284
_STRIPS, _ROWS_PER_STRIP, _STRIP_SIZES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_DEFLATE = {8, 32946}
_SEPARATE = 2
_STEP = 1 << 20
"""Bytes that are decompressed at once."""


def check_blocks(reader: ByteReader, pages: list[Page]) -> None:
    """Raise ``Malformed`` unless the strips and tiles of ``pages`` are there, and undamaged.

    Decoders end with the last pixel and leave the checksum behind it unread, the only one that a
    TIFF can have (deflate: RFC 1950).
    """
    kept = {page.place for page in pages if page.compression in _DEFLATE}
    if not kept:
        return
    for index, directory in enumerate(Directories(reader).chain()):
        if index in kept:
            _check_deflate(reader, directory)


def _check_deflate(reader: ByteReader, directory: Directory) -> None:
    is_tiled = _TILE_WIDTH in directory
    offsets = directory.numbers(_TILES if is_tiled else _STRIPS)
    sizes = directory.numbers(_TILE_SIZES if is_tiled else _STRIP_SIZES)
    most = _most_bytes(directory, is_tiled)
    for offset, size in zip(offsets, sizes, strict=False):
        reader.seek(offset)
        _check_checksum(reader.read(size), most)


def _most_bytes(directory: Directory, is_tiled: bool) -> int:
    """Bytes of a strip or a tile once it is decompressed."""
    width, height = directory.number(_WIDTH, 0), directory.number(_HEIGHT, 0)
    if is_tiled:
        width, height = directory.number(_TILE_WIDTH, 0), directory.number(_TILE_HEIGHT, 0)
    else:
        height = min(height, directory.number(_ROWS_PER_STRIP, height))
    is_separate = directory.number(_PLANAR, 1) == _SEPARATE
    samples = 1 if is_separate else directory.number(_SAMPLES, 1)
    # Twice as much leaves room for subsampled colours that fill up their blocks.
    return 2 * height * (width * samples * directory.number(_BITS, 1) // 8 + 1)


def _check_checksum(content: bytes, most: int) -> None:
    stream = zlib.decompressobj()
    try:
        while not stream.eof and most > 0:
            before = len(content)
            got = stream.decompress(content, _STEP)
            content = stream.unconsumed_tail
            most -= len(got)
            if not got and len(content) == before:
                break
    except zlib.error as error:
        raise Malformed("the checksum of a strip or a tile does not hold") from error
    if not stream.eof:
        raise Malformed("a strip or a tile is cut off")
