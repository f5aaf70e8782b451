"""Thumbnails: pictures made small."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from dpip.filters.alpha import by_opacity
from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips


class Thumbnail(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="thumbnail"
):
    """``size`` is the most that the longer side may have, in pixels."""

    size: Annotated[int, Meta(ge=1, le=4096)] = 256


def thumbnail(image: "pyvips.Image", parameters: Thumbnail) -> "pyvips.Image":
    """Shrink ``image`` in its proportions until it fits; one that fits stays as it is."""
    width, height = fitted(image.width, image.height, parameters.size)
    if (width, height) == (image.width, image.height):
        return image
    across, down = width / image.width, height / image.height
    return by_opacity(image, lambda colours: colours.resize(across, vscale=down))


def thumbnail_header(header: PictureHeader, parameters: Thumbnail) -> PictureHeader:
    """The header of a thumbnail of a picture with ``header``."""
    width, height = fitted(header.width, header.height, parameters.size)
    return replace(header, width=width, height=height)


def fitted(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height once the longer of them is ``size`` at most, rounded, and 1 at least."""
    longest = max(width, height)
    if longest <= size:
        return width, height

    def share(side: int) -> int:
        return max(1, (2 * side * size + longest) // (2 * longest))

    return share(width), share(height)
