"""The luma of a JPEG, decoded without its colour."""

from pathlib import Path

# The second is what the first would load when it is needed, which a confined child cannot do.
from PIL import Image, ImageFile  # noqa: F401

from dpip.filters.libvips import pyvips
from dpip.filters.profiles import PROFILE, is_srgb

_MOST_PIXELS = 50_000_000
"""They are all held in memory, a byte each; a larger picture is decoded line by line."""


def load_luma(source: Path, image: pyvips.Image, shrink: int) -> pyvips.Image | None:
    """The grayscale of the JPEG in ``source``, seen in ``image``, its sides divided by ``shrink``.

    A JPEG of sRGB has it as its first channel, so that colour need be neither decoded nor weighed.
    ``None`` for any other, and for one that this decoder does not take.
    """
    width, height = -(-image.width // shrink), -(-image.height // shrink)
    if image.bands != 3 or image.format != "uchar" or width * height > _MOST_PIXELS:
        return None
    if PROFILE in image.get_fields() and not is_srgb(image.get(PROFILE)):
        return None
    try:
        gray = Image.frombytes(
            "L", (width, height), source.read_bytes(), "jpeg", "L", "", shrink, 0
        )
    except (ValueError, OSError):
        return None
    luma = pyvips.Image.new_from_memory(gray.tobytes(), width, height, 1, "uchar")
    # Whole pixels alone, as libvips has it.
    luma = luma.crop(0, 0, image.width // shrink, image.height // shrink)
    luma = luma.copy(interpretation="b-w")
    known = {*luma.get_fields(), PROFILE}
    for name in image.get_fields():
        if name not in known:
            luma.set_type(image.get_typeof(name), name, image.get(name))
    return luma
