"""Transparency: colours count by their opacity wherever pixels are mixed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dpip.filters.profiles import PROFILE, STAND_IN

if TYPE_CHECKING:
    import pyvips

_HELD_BYTES = 100_000_000
"""A picture of no more is held in memory to see whether it is opaque all over."""

_OPAQUE = {
    "uchar": 255,
    "char": 127,
    "ushort": 65535,
    "short": 32767,
    "uint": 4294967295,
    "int": 2147483647,
    "float": 1,
    "double": 1,
}


def opaque(image: "pyvips.Image") -> int:
    """The opacity of what hides all behind it, in the numbers of ``image``."""
    return _OPAQUE[image.format]


def by_opacity(
    image: "pyvips.Image", mix: "Callable[[pyvips.Image], pyvips.Image]"
) -> "pyvips.Image":
    """Apply ``mix``, which makes pixels of several, so that what is invisible tints nothing.

    For that, colours are multiplied by their opacity in floating point, which takes far longer than
    the usual mixing of whole numbers; a picture that is opaque all over is spared it.
    """
    if not image.hasalpha():
        return mix(image)
    most = opaque(image)
    if image.width * image.height * image.bands <= _HELD_BYTES:
        image = image.copy_memory()
        opacity = image.bands - 1
        if image[opacity].min() == most:
            return mix(image.extract_band(0, n=opacity)).bandjoin(most)
    mixed = mix(image.premultiply(max_alpha=most)).unpremultiply(max_alpha=most)
    return rounded(mixed, image)


def rounded(mixed: "pyvips.Image", image: "pyvips.Image") -> "pyvips.Image":
    """``mixed`` as numbers of the kind that ``image`` has."""
    whole = mixed if image.format in ("float", "double") else mixed.rint()
    return whole.cast(image.format).copy(interpretation=image.interpretation)


def beside_alpha(
    image: "pyvips.Image", change: "Callable[[pyvips.Image], pyvips.Image]"
) -> "pyvips.Image":
    """Apply ``change`` to the colours of ``image`` alone, and leave their opacity as it is."""
    if not image.hasalpha():
        return change(image)
    opacity = image.bands - 1
    changed = change(image.extract_band(0, n=opacity))
    alpha = image[opacity]
    if opaque(changed) != opaque(image):
        alpha = rounded(alpha * (opaque(changed) / opaque(image)), changed)
    for name in (PROFILE, STAND_IN):  # What is joined has the metadata of both.
        alpha.remove(name)
    return changed.bandjoin(alpha)
