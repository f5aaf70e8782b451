"""Every filter there is. To add one: write its file, and name it twice here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dpip.filters.blur import Blur, blur, blur_milliseconds
from dpip.filters.grayscale import Grayscale, grayscale, grayscale_milliseconds

if TYPE_CHECKING:
    import pyvips

Step = Grayscale | Blur
"""The parameters of one filter, which also say which filter it is."""


class Filter(Struct, frozen=True, kw_only=True):
    """A filter: its parameters, its function from image to image, and its other names.

    It keeps width, height and frames: ``dpip.filters.result_header`` checks results by that.
    ``pixelwise``: a pixel of the result depends on that pixel alone, so an animation may be
    filtered as one tall picture. ``milliseconds`` is the CPU time that a megapixel of so many bands
    and bits of one is assumed to take before any job is done. ``drops_colour``: a result has one
    band, and its alpha.
    """

    parameters: type[Step]
    apply: "Callable[[pyvips.Image, Any], pyvips.Image]"
    pixelwise: bool
    milliseconds: Callable[[Any, int, int], float]
    drops_colour: bool = False
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
        drops_colour=True,
        aliases=("greyscale",),
    ),
    Filter(
        parameters=Blur,
        apply=blur,
        pixelwise=False,
        milliseconds=blur_milliseconds,
        parameter_aliases={"radius": "sigma"},
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
