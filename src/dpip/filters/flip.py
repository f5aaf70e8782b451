"""Mirror images."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    import pyvips


class Flip(Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="flip"):
    """``direction``: ``horizontal`` swaps left and right, ``vertical`` top and bottom."""

    direction: Literal["horizontal", "vertical"] = "horizontal"


def flip(image: "pyvips.Image", parameters: Flip) -> "pyvips.Image":
    """Mirror ``image``; its pixels stay what they are."""
    # Lines come from top to bottom, and may be asked for from the bottom up.
    return image.copy_memory().flip(parameters.direction)
