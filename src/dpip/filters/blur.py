"""Gaussian blur."""

import itertools
import math
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from dpip.filters.alpha import by_opacity
from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips

_REACH = 3
"""Standard deviations after which the bell is cut off; 0.3 % of it lie beyond."""

# Below this, the neighbours of a pixel weigh nothing that eight bits could show.
_SMALLEST_SIGMA = 0.2

# Fast convolution in libvips has seven bits for a weight, and rounds each for itself: with its own
# masks, or weights larger than this, an even gray comes out up to 4 % darker or lighter.
_LARGEST_WEIGHT = 62


class Blur(Struct, frozen=True, forbid_unknown_fields=True, tag_field="filter", tag="blur"):
    """``sigma`` is the standard deviation of the bell, in pixels."""

    sigma: Annotated[float, Meta(gt=0, le=100)] = 3.0


def blur(image: "pyvips.Image", parameters: Blur) -> "pyvips.Image":
    """Blur ``image`` as if its border went on for ever.

    Colours count by their opacity, so what is invisible does not bleed into what is seen.
    """
    if parameters.sigma < _SMALLEST_SIGMA:
        return image
    return by_opacity(image, lambda colours: _convolve(colours, parameters.sigma))


def blur_milliseconds(header: PictureHeader, parameters: Blur) -> float:
    """CPU time that it is assumed to take: it grows with the weights of the bell."""
    if parameters.sigma < _SMALLEST_SIGMA:
        return 0.0
    # Eight bits without alpha go through libvips' vector code.
    is_fast = header.depth <= 8 and not header.has_alpha
    nanoseconds = 0.04 if is_fast else 1.5
    return header.samples * nanoseconds * (2 * _REACH * parameters.sigma + 1) / 1e6


def _convolve(image: "pyvips.Image", sigma: float) -> "pyvips.Image":
    weights = bell(sigma)
    mask = image.new_from_array([weights], scale=sum(weights))
    return image.convsep(mask, precision="integer")


def bell(sigma: float) -> list[int]:
    """Weights of a Gaussian in whole numbers, whose sum is a power of two.

    Such weights are exact in libvips' fixed-point arithmetic, so no brightness is lost.
    """
    heights = [math.exp(-((x / sigma) ** 2) / 2) for x in range(math.ceil(_REACH * sigma) + 1)]
    area = 2 * sum(heights) - heights[0]
    total = 2 ** math.floor(math.log2(_LARGEST_WEIGHT * area))
    # Each side is rounded as a running sum, so that errors do not pile up in the middle.
    sums = [round(total * part / area) for part in itertools.accumulate(reversed(heights[1:]))]
    side = [after - before for before, after in itertools.pairwise([0, *sums])]
    side = list(itertools.dropwhile(lambda weight: weight == 0, side))
    return [*side, total - 2 * sums[-1], *reversed(side)]
