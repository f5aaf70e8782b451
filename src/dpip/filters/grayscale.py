"""Grayscale: colours to their luminance."""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips

_PROFILE = "icc-profile-data"
_GRAY = {"b-w", "grey16"}


class Grayscale(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="grayscale"
):
    """Takes no parameters."""


def grayscale(image: "pyvips.Image", _: Grayscale) -> "pyvips.Image":
    """Replace colour by its luminance, weighed in linear light; alpha and depth stay.

    A picture that is gray already is returned as it is. A gray picture that was in colour has no
    colour profile: one of colour would not fit it, so its colours are brought to sRGB by that
    profile first, whose tone curve is what viewers take for granted in gray.
    """
    if image.interpretation in _GRAY:
        return image
    if image.hasalpha():
        colour = image.extract_band(0, n=image.bands - 1)
        return _luminance(colour).bandjoin(image[image.bands - 1])
    return _luminance(image)


def grayscale_header(header: PictureHeader, _: Grayscale) -> PictureHeader:
    """The header of the result: one band, and alpha."""
    return replace(header, bands=2 if header.has_alpha else 1)


def grayscale_milliseconds(header: PictureHeader, _: Grayscale) -> float:
    """CPU time that it is assumed to take; a picture that is gray already takes none."""
    return 12e-6 * header.pixels if header.has_colour else 0.0


def _luminance(colour: "pyvips.Image") -> "pyvips.Image":
    eight_bits = colour.format == "uchar"
    if _PROFILE in colour.get_fields():
        colour = colour.icc_transform("srgb", embedded=True, depth=8 if eight_bits else 16)
    gray = colour.colourspace("b-w" if eight_bits else "grey16").copy()
    gray.remove(_PROFILE)
    return gray
