"""Negatives."""

from typing import TYPE_CHECKING

from msgspec import Struct

from dpip.filters.alpha import beside_alpha

if TYPE_CHECKING:
    import pyvips


class Invert(Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="invert"):
    """Takes no parameters."""


def invert(image: "pyvips.Image", _: Invert) -> "pyvips.Image":
    """Take every channel but alpha from its greatest value, or from 1 in floating point."""
    if image.format in ("float", "double"):
        return beside_alpha(image, lambda colours: (1 - colours).cast(image.format))
    return beside_alpha(image, lambda colours: colours.invert())
