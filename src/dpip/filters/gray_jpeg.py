"""The luma of a JPEG by libjpeg-turbo: decoded without its colour, and encoded as it is."""

import io
from pathlib import Path

# The second is what the first would load when it is needed, which a confined child cannot do.
from PIL import Image, ImageFile  # noqa: F401

from dpip.filters.embedding import inches_of
from dpip.filters.exif import EXIF_NAME
from dpip.filters.libvips import pyvips
from dpip.filters.profile_check import has_unfit_profile
from dpip.filters.profiles import PROFILE, has_other_colours

Image.preinit()  # Which a confined child cannot do either.

_MOST_PIXELS = 50_000_000
"""They are all held in memory, a byte each; a larger picture is decoded line by line."""


def load_luma(source: Path, image: pyvips.Image, shrink: int) -> pyvips.Image | None:
    """The grayscale of the JPEG in ``source``, seen in ``image``, its sides divided by ``shrink``.

    A JPEG of sRGB has it as its first channel, so that colour need be neither decoded nor weighed.
    ``None`` for any other, and for one that this decoder does not take.
    """
    gray = decode_luma(source, image, shrink)
    if gray is None:
        return None
    luma = pyvips.Image.new_from_memory(gray.tobytes(), *gray.size, 1, "uchar")
    # Whole pixels alone, as libvips has it.
    luma = luma.crop(0, 0, image.width // shrink, image.height // shrink)
    luma = luma.copy(interpretation="b-w", xres=image.xres, yres=image.yres)
    known = {*luma.get_fields(), PROFILE}
    for name in image.get_fields():
        if name not in known:
            luma.set_type(image.get_typeof(name), name, image.get(name))
    return luma


def as_gray_jpeg(source: Path, image: pyvips.Image, quality: int, exif: bytes) -> bytes | None:
    """The same at its full size as a JPEG that says ``exif``, or ``None``.

    Its pixels lie in memory once; through libvips they would be copied twice on their way.
    """
    gray = decode_luma(source, image, 1)
    if gray is None:
        return None
    encoded = io.BytesIO()
    inches = inches_of(image) or (0, 0)
    gray.save(encoded, "JPEG", quality=quality, dpi=inches, exif=exif and EXIF_NAME + exif)
    return encoded.getvalue()


def decode_luma(source: Path, image: pyvips.Image, shrink: int) -> Image.Image | None:
    """The luma of the JPEG in ``source``, if it is that of sRGB and this decoder takes it."""
    size = width, height = -(-image.width // shrink), -(-image.height // shrink)
    if image.bands != 3 or image.format != "uchar" or width * height > _MOST_PIXELS:
        return None
    if has_other_colours(image) or has_unfit_profile(image):
        return None
    try:
        return Image.frombytes("L", size, source.read_bytes(), "jpeg", "L", "", shrink, 0)
    except (ValueError, OSError):
        return None
