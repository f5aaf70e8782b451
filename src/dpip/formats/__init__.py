"""What the first bytes of a picture declare, read without decoding a single pixel."""

from collections.abc import Callable
from typing import BinaryIO

from dpip.errors import UnsupportedPicture
from dpip.formats.avif import read_avif
from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.formats.gif import read_gif
from dpip.formats.jpeg import read_jpeg
from dpip.formats.png import read_png
from dpip.formats.tiff import read_tiff
from dpip.formats.webp import read_webp
from dpip.model.image import PictureFormat, PictureHeader

_FORMATS = ", ".join(each.value.upper() for each in PictureFormat)
_SIGNATURE_LENGTH = 12
_MOST_ACROSS = 2**31 - 1


def read_header(file: BinaryIO) -> PictureHeader:
    """Read the header of the picture in ``file``, which can seek and is read from its beginning.

    The bytes may be hostile: the work is bounded whatever they claim. Raises
    ``UnsupportedPicture`` for anything but a picture in a known format with pixels in it.
    """
    reader = ByteReader(file)
    try:
        header = _parser_for(reader.peek(_SIGNATURE_LENGTH))(reader)
        if not (0 < header.width <= _MOST_ACROSS and 0 < header.height <= _MOST_ACROSS):
            raise Malformed(f"it declares {header.width} x {header.height} pixels")
    except Malformed as error:
        raise UnsupportedPicture(reason=error, formats=_FORMATS) from error
    return header


def _parser_for(start: bytes) -> Callable[[ByteReader], PictureHeader]:
    match start:
        case _ if start.startswith(b"\xff\xd8\xff"):
            return read_jpeg
        case _ if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return read_png
        case _ if start.startswith(b"RIFF") and start[8:] == b"WEBP":
            return read_webp
        case _ if start.startswith((b"GIF87a", b"GIF89a")):
            return read_gif
        case _ if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
            return read_tiff
        case _ if start[4:8] == b"ftyp":
            return read_avif
        case b"":
            raise Malformed("it is empty")
    raise Malformed("its first bytes are those of no known format")
