"""Grayscale: colours to their luma."""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from dpip.filters.alpha import beside_alpha, opaque, rounded
from dpip.filters.colour_spaces import to_srgb
from dpip.filters.profiles import PROFILE, WIDE_GAMUT, has_other_colours
from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips

_GRAY = {"b-w", "grey16"}
_COLOURS = 3

_WEIGHTS = [0.299, 0.587, 0.114]
"""ITU-R BT.601, of sRGB with its tone curve: what the luma of a JPEG is by its standard."""

_WIDE_WEIGHTS = [0.2627, 0.6780, 0.0593]
"""ITU-R BT.2100, of the values of PQ and HLG, which stay what they are."""


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
    if image.interpretation in _GRAY or image.bands < _COLOURS:
        return image
    return beside_alpha(image, _luma)


def grayscale_header(header: PictureHeader, _: Grayscale) -> PictureHeader:
    """The header of the result: one band, and alpha."""
    return replace(header, bands=2 if header.has_alpha else 1)


def grayscale_milliseconds(header: PictureHeader, _: Grayscale) -> float:
    """CPU time that it is assumed to take; a picture that is gray already takes none."""
    return 8e-6 * header.pixels if header.has_colour else 0.0


def _luma(colour: "pyvips.Image") -> "pyvips.Image":
    seen = to_srgb(colour)
    weights = _WIDE_WEIGHTS if seen.get_typeof(WIDE_GAMUT) else _WEIGHTS
    exact = seen.cast("double") if seen.format in ("uint", "int") else seen
    gray = rounded(exact.recomb([weights]), seen)
    if colour.format == "float" and gray.format == "ushort":
        gray = gray / opaque(gray)
    if has_other_colours(seen):  # No profile of gray is at hand that says the same.
        return gray.bandjoin([gray, gray]).copy(interpretation=seen.interpretation)
    gray = gray.copy(interpretation="grey16" if gray.format == "ushort" else "b-w")
    gray.remove(PROFILE)
    return gray
