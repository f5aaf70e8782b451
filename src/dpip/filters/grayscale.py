"""Grayscale: colours to their luma."""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from dpip.filters.alpha import beside_alpha
from dpip.filters.profiles import PROFILE, is_srgb
from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips

_GRAY = {"b-w", "grey16"}

_WEIGHTS = [0.299, 0.587, 0.114]
"""ITU-R BT.601, of sRGB with its tone curve: what the luma of a JPEG is by its standard."""


class Grayscale(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="grayscale"
):
    """Takes no parameters."""


def grayscale(image: "pyvips.Image", _: Grayscale) -> "pyvips.Image":
    """Replace colour by its luma, the weighed sum of red, green and blue; alpha and depth stay.

    A picture that is gray already is returned as it is. A gray picture that was in colour has no
    colour profile: one of colour would not fit it, so its colours are brought to sRGB by that
    profile first, whose tone curve is what viewers take for granted in gray.
    """
    if image.interpretation in _GRAY:
        return image
    return beside_alpha(image, _luma)


def grayscale_header(header: PictureHeader, _: Grayscale) -> PictureHeader:
    """The header of the result: one band, and alpha."""
    return replace(header, bands=2 if header.has_alpha else 1)


def grayscale_milliseconds(header: PictureHeader, _: Grayscale) -> float:
    """CPU time that it is assumed to take; a picture that is gray already takes none."""
    return 8e-6 * header.pixels if header.has_colour else 0.0


def _luma(colour: "pyvips.Image") -> "pyvips.Image":
    eight_bits = colour.format == "uchar"
    if colour.get_typeof(PROFILE):
        if not is_srgb(colour.get(PROFILE)):
            colour = colour.icc_transform("srgb", embedded=True, depth=8 if eight_bits else 16)
    else:
        colour = colour.colourspace("srgb" if eight_bits else "rgb16")
    gray = colour.recomb([_WEIGHTS]).rint().cast(colour.format)
    gray = gray.copy(interpretation="b-w" if eight_bits else "grey16")
    gray.remove(PROFILE)
    return gray
