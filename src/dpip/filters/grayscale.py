"""Grayscale: colours to their luminance."""

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import pyvips

_PROFILE = "icc-profile-data"
_GRAY = {"b-w", "grey16"}
_COLOURS = 3


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


def grayscale_milliseconds(_: Grayscale, bands: int, depth: int) -> float:
    """CPU time that a megapixel is assumed to take; one that is gray already takes none."""
    if bands < _COLOURS:
        return 0.0
    return 3.0 if depth <= 8 else 6.0


def _luminance(colour: "pyvips.Image") -> "pyvips.Image":
    eight_bits = colour.format == "uchar"
    if _PROFILE in colour.get_fields():
        colour = colour.icc_transform("srgb", embedded=True, depth=8 if eight_bits else 16)
    gray = colour.colourspace("b-w" if eight_bits else "grey16").copy()
    gray.remove(_PROFILE)
    return gray
