"""Every filter there is. To add one: write its file, and name it twice here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dpip.filters.blur import Blur, blur, blur_milliseconds
from dpip.filters.flip import Flip, flip
from dpip.filters.grayscale import (
    Grayscale,
    grayscale,
    grayscale_header,
    grayscale_milliseconds,
)
from dpip.filters.invert import Invert, invert
from dpip.filters.rotate import Rotate, rotate, rotate_header
from dpip.filters.sharpen import Sharpen, sharpen, sharpen_milliseconds
from dpip.filters.thumbnail import Thumbnail, thumbnail, thumbnail_header
from dpip.model.image import PictureHeader

if TYPE_CHECKING:
    import pyvips

Step = Grayscale | Blur | Sharpen | Thumbnail | Rotate | Flip | Invert
"""The parameters of one filter, which also say which filter it is."""


def _unchanged(header: PictureHeader, _: Any) -> PictureHeader:
    return header


def _a_sample(nanoseconds: float) -> Callable[[PictureHeader, Any], float]:
    return lambda header, _: header.samples * nanoseconds / 1e6


class Filter(Struct, frozen=True, kw_only=True):
    """A filter: its parameters, its function from image to image, and its other names.

    ``pixelwise``: a pixel of the result depends on that pixel alone, so an animation may be
    filtered as one tall picture. ``header`` is what becomes of the header, by which results are
    checked: with no side of a picture larger, no side of what comes of it may be.
    ``milliseconds`` is the CPU time that it is assumed to take until jobs have shown it.
    ``holds``: it has the whole picture in memory, once more.
    """

    parameters: type[Step]
    apply: "Callable[[pyvips.Image, Any], pyvips.Image]"
    pixelwise: bool
    milliseconds: Callable[[PictureHeader, Any], float]
    holds: bool = False
    header: Callable[[PictureHeader, Any], PictureHeader] = _unchanged
    aliases: tuple[str, ...] = ()
    parameter_aliases: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """The canonical name."""
        return str(self.parameters.__struct_config__.tag)


FILTERS = (
    Filter(
        parameters=Grayscale,
        apply=grayscale,
        pixelwise=True,
        milliseconds=grayscale_milliseconds,
        header=grayscale_header,
        aliases=("greyscale",),
    ),
    Filter(
        parameters=Blur,
        apply=blur,
        pixelwise=False,
        milliseconds=blur_milliseconds,
        parameter_aliases={"radius": "sigma"},
    ),
    Filter(
        parameters=Sharpen,
        apply=sharpen,
        pixelwise=False,
        milliseconds=sharpen_milliseconds,
        holds=True,
    ),
    Filter(
        parameters=Thumbnail,
        apply=thumbnail,
        pixelwise=False,
        milliseconds=_a_sample(nanoseconds=1.0),
        header=thumbnail_header,
    ),
    Filter(
        parameters=Rotate,
        apply=rotate,
        pixelwise=False,
        milliseconds=_a_sample(nanoseconds=1.0),
        holds=True,
        header=rotate_header,
    ),
    Filter(
        parameters=Flip,
        apply=flip,
        pixelwise=False,
        milliseconds=_a_sample(nanoseconds=1.0),
        holds=True,
    ),
    Filter(
        parameters=Invert, apply=invert, pixelwise=True, milliseconds=_a_sample(nanoseconds=0.5)
    ),
)


def filter_of(step: Step) -> Filter:
    """The filter whose parameters ``step`` holds."""
    return _BY_PARAMETERS[type(step)]


def filter_named(name: str) -> Filter | None:
    """The filter called ``name``, which may be one of its aliases."""
    return _BY_NAME.get(name)


_BY_PARAMETERS = {each.parameters: each for each in FILTERS}
_BY_NAME = {name: each for each in FILTERS for name in (each.name, *each.aliases)}
