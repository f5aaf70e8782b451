"""PNG: the header chunk."""

import struct

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader

_SIGNATURE_LENGTH = 8
_BANDS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_DEPTHS = {1, 2, 4, 8, 16}
_PALETTE = 3


def read_png(reader: ByteReader) -> PictureHeader:
    """Read the header chunk; a palette counts as the colours it stands for. Raises ``Malformed``.

    An animated PNG counts as its default image, which is what is filtered.
    """
    reader.skip(_SIGNATURE_LENGTH)
    length, kind, width, height, depth, colour = struct.unpack(">L4sLLBB", reader.read(18))
    if length != 13 or kind != b"IHDR" or colour not in _BANDS or depth not in _DEPTHS:
        raise Malformed("its header chunk is damaged")
    return PictureHeader(
        format=PictureFormat.PNG,
        width=width,
        height=height,
        bands=_BANDS[colour],
        depth=8 if colour == _PALETTE else depth,
    )
