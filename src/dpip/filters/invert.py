"""Negatives."""

from typing import TYPE_CHECKING

from msgspec import Struct

from dpip.filters.alpha import beside_alpha
from dpip.filters.colour_spaces import from_srgb, is_seen_otherwise, to_srgb

if TYPE_CHECKING:
    import pyvips


class Invert(Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="invert"):
    """Takes no parameters."""


def invert(image: "pyvips.Image", _: Invert) -> "pyvips.Image":
    """Take every channel but alpha from its greatest value, or from 1 in floating point.

    Inks, and colours of CIELAB, become those that show the negative.
    """
    return beside_alpha(image, _negative)


def _negative(colours: "pyvips.Image") -> "pyvips.Image":
    if is_seen_otherwise(colours):
        return from_srgb(_complement(to_srgb(colours)), like=colours)
    return _complement(colours)


def _complement(colours: "pyvips.Image") -> "pyvips.Image":
    if colours.format in ("float", "double"):
        return (1 - colours).cast(colours.format)
    if colours.format in ("char", "short", "int"):  # Their middle is between -1 and 0.
        return (-1 - colours.cast("double")).cast(colours.format)
    return colours.invert()
