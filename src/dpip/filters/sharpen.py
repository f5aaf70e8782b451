"""Sharpening by unsharp masking."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from dpip.filters.alpha import beside_alpha
from dpip.filters.blur import Blur, blur, blur_milliseconds
from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips


class Sharpen(Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="sharpen"):
    """``sigma`` is that of a blur, in pixels; ``amount`` is what is added of the difference."""

    sigma: Annotated[float, Meta(gt=0, le=100)] = 1.0
    amount: Annotated[float, Meta(gt=0, le=10)] = 1.0


def sharpen(image: "pyvips.Image", parameters: Sharpen) -> "pyvips.Image":
    """Add to ``image`` what a blur would take from it; beyond black and white it is cut off.

    Alpha stays.
    """
    image = image.copy_memory()  # It is read by the blur, some lines ahead, and beside it.
    blurred = blur(image, Blur(sigma=parameters.sigma))

    def add_difference(colours: "pyvips.Image") -> "pyvips.Image":
        soft = blurred.extract_band(0, n=colours.bands)
        sharp = colours * (1 + parameters.amount) - soft * parameters.amount
        whole = sharp if image.format in ("float", "double") else sharp.rint()
        return whole.cast(image.format).copy(interpretation=image.interpretation)

    return beside_alpha(image, add_difference)


def sharpen_milliseconds(header: PictureHeader, parameters: Sharpen) -> float:
    """CPU time that it is assumed to take: that of the blur, and of the difference to it."""
    return blur_milliseconds(header, Blur(sigma=parameters.sigma)) + 3e-6 * header.samples
