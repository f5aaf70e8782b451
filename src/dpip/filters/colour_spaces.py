"""Colours brought to sRGB and back, for what is done to colours as they are seen."""

from typing import TYPE_CHECKING

from dpip.filters.alpha import opaque, rounded
from dpip.filters.profiles import PROFILE, STAND_IN, has_other_colours

if TYPE_CHECKING:
    import pyvips

_LAB = {"lab", "labs"}
_WHOLE = {"uchar", "ushort"}


def to_srgb(colour: "pyvips.Image") -> "pyvips.Image":
    """``colour``, which has no alpha, in sRGB of 8 or 16 bits; the profile goes.

    Inks without a profile are seen as most viewers show them: each takes its part of the light.
    Numbers that a profile cannot be applied to, such as those of floating point, stay.
    """
    depth = 8 if colour.format == "uchar" else 16
    if colour.interpretation in _LAB:
        seen = colour.colourspace("rgb16")
    elif colour.interpretation == "cmyk" and not colour.get_typeof(PROFILE):
        seen = _light_left(colour)
    elif has_other_colours(colour) and colour.format in _WHOLE:
        seen = colour.icc_transform("srgb", embedded=True, depth=depth)
    else:
        return colour
    for name in (PROFILE, STAND_IN):
        seen.remove(name)
    return seen


def from_srgb(seen: "pyvips.Image", like: "pyvips.Image") -> "pyvips.Image":
    """The inverse of ``to_srgb``, for colours that were stored as in ``like``."""
    if like.interpretation in _LAB:
        return seen.colourspace(like.interpretation)
    if like.interpretation != "cmyk":
        return seen
    if not like.get_typeof(PROFILE):
        return _inks(seen)
    meant = seen.icc_import(input_profile="srgb")
    meant.set_type(like.get_typeof(PROFILE), PROFILE, like.get(PROFILE))
    return meant.icc_export(depth=8 if like.format == "uchar" else 16)


def _light_left(inks: "pyvips.Image") -> "pyvips.Image":
    most = opaque(inks)
    light = (most - inks.extract_band(0, n=3)) * (most - inks[3]) / most
    kind = "rgb16" if inks.format == "ushort" else "srgb"
    return rounded(light, inks).copy(interpretation=kind)


def _inks(seen: "pyvips.Image") -> "pyvips.Image":
    """As much black as can be, and of each ink what is left."""
    most = opaque(seen)
    absorbed = most - seen
    first, *others = absorbed.bandsplit()
    black = first.bandrank(others, index=0)
    rest = (absorbed - black) * most / (most - black)
    inks = (black == most).ifthenelse(0, rest).bandjoin(black)
    return rounded(inks, seen).copy(interpretation="cmyk")


def is_seen_otherwise(colour: "pyvips.Image") -> bool:
    """Whether the channels of ``colour`` are other than amounts of light."""
    return colour.interpretation in _LAB or colour.interpretation == "cmyk"
