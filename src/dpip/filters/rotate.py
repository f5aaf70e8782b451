"""Rotation by quarter turns."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips


class Rotate(Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="rotate"):
    """``angle`` is in degrees, clockwise."""

    angle: Literal[90, 180, 270] = 90


def rotate(image: "pyvips.Image", parameters: Rotate) -> "pyvips.Image":
    """Turn ``image``; its pixels stay what they are."""
    # Lines come from top to bottom, and are asked for in another order.
    turned = image.copy_memory().rot(f"d{parameters.angle}")
    if parameters.angle == 180:
        return turned
    return turned.copy(xres=image.yres, yres=image.xres)


def rotate_header(header: PictureHeader, parameters: Rotate) -> PictureHeader:
    """The header of a turned picture: a quarter turn has width and height change places."""
    if parameters.angle == 180:
        return header
    return replace(header, width=header.height, height=header.width)
