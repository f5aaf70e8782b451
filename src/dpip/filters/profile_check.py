"""Whether a colour profile can be used, by LittleCMS: libvips takes another for a broken one."""

import io
from functools import lru_cache

from PIL import ImageCms

from dpip.filters.libvips import pyvips
from dpip.filters.profiles import PROFILE

_SPACE = slice(16, 20)
"""Where a profile says what kind of colours it is for."""

_SPACES = {"b-w": b"GRAY", "grey16": b"GRAY", "cmyk": b"CMYK", "lab": b"Lab ", "labs": b"Lab "}
_MODES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK", b"Lab ": "LAB"}
_SRGB = ImageCms.createProfile("sRGB")
_LONGEST_REMEMBERED = 1 << 16


def has_unfit_profile(image: pyvips.Image) -> bool:
    """Whether ``image`` has a profile that is broken or is for another kind of colours."""
    if not image.get_typeof(PROFILE):
        return False
    profile = image.get(PROFILE)
    space = _SPACES.get(image.interpretation, b"RGB ")
    if profile[_SPACE] != space:
        return True
    if len(profile) > _LONGEST_REMEMBERED:
        return not _is_usable(profile, space)
    return not _remembered(profile, space)


@lru_cache(maxsize=16)
def _remembered(profile: bytes, space: bytes) -> bool:
    return _is_usable(profile, space)


def _is_usable(profile: bytes, space: bytes) -> bool:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.buildTransform(opened, _SRGB, _MODES[space], "RGB")
    except (ImageCms.PyCMSError, OSError):
        return False
    return True
