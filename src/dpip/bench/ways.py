"""Ways to filter a file to a file that are known to be fast, for the limit to choose from.

They know little of what real pictures may be: no EXIF orientation, no colour profile, no frames. A
way counts for a format only if its pictures are those of DPIP's own filters.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from dpip.filters.blur import Blur, bell
from dpip.filters.grayscale import Grayscale
from dpip.filters.pipeline import Pipeline
from dpip.filters.registry import FILTERS, filter_of
from dpip.filters.sharpen import Sharpen
from dpip.filters.thumbnail import Thumbnail, fitted
from dpip.formats import read_header
from dpip.model.image import PictureFormat

_QUALITY = 85
_PNG_LEVEL = 1
_WITH_BANDS = 3
"""Dimensions of an array of pixels in colour."""

_OF_OPENCV = frozenset({Grayscale, Blur, Sharpen, Thumbnail})


class Way(Struct, frozen=True, kw_only=True):
    """``filter`` takes source, target, pipeline and format; ``modules`` is what it imports."""

    name: str
    filter: Callable[[Path, Path, Pipeline, PictureFormat], object]
    modules: tuple[str, ...] = ()
    formats: frozenset[PictureFormat] = frozenset({PictureFormat.JPEG, PictureFormat.PNG})
    steps: frozenset[type] = frozenset(each.parameters for each in FILTERS)

    def missing(self) -> list[str]:
        """The modules that are not installed here."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]

    def can(self, pipeline: Pipeline, format: PictureFormat) -> bool:  # noqa: A002
        """Whether it has all steps for pictures of this format."""
        return format in self.formats and all(type(step) in self.steps for step in pipeline.steps)


def _as_the_worker(
    source: Path,
    target: Path,
    pipeline: Pipeline,
    _: PictureFormat,
) -> None:
    from dpip.filters.picture import filter_picture

    with source.open("rb") as file:
        header = read_header(file)
    filter_picture(source, target, pipeline, header.format)


def _libvips(source: Path, target: Path, pipeline: Pipeline, format: PictureFormat) -> None:  # noqa: A002
    from dpip.filters.libvips import pyvips

    first, *others = pipeline.steps
    if isinstance(first, Thumbnail):
        image = pyvips.Image.thumbnail(str(source), first.size, height=first.size, size="down")
    else:
        image = pyvips.Image.new_from_file(str(source), access="sequential")
        others = [first, *others]
    for step in others:
        image = filter_of(step).apply(image, step)
    if format is PictureFormat.JPEG:
        image.jpegsave(str(target), Q=_QUALITY, keep="none")
    else:
        image.pngsave(str(target), compression=_PNG_LEVEL, filter="up", keep="none")


def _opencv(source: Path, target: Path, pipeline: Pipeline, format: PictureFormat) -> None:  # noqa: A002
    import cv2

    cv2.setNumThreads(1)
    gray = isinstance(pipeline.steps[0], Grayscale)
    flag = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
    pixels = _with_opencv(cv2.imread(str(source), flag), pipeline)
    if format is PictureFormat.JPEG:
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    else:
        options = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL]
        options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    cv2.imwrite(str(target), pixels, options)


def _libjpeg_turbo(source: Path, target: Path, pipeline: Pipeline, _: PictureFormat) -> None:
    import simplejpeg

    content = source.read_bytes()
    gray = any(isinstance(step, Grayscale) for step in pipeline.steps)
    first = pipeline.steps[0]
    # Decoded at a half, a quarter, an eighth of its size, as long as it stays twice as large.
    least = 2 * first.size if isinstance(first, Thumbnail) else 0
    pixels = simplejpeg.decode_jpeg(
        content, "GRAY" if gray else "BGR", min_height=least, min_width=least
    )
    if pipeline.steps != (Grayscale(),):
        pixels = _with_opencv(pixels, pipeline)
    encoded = simplejpeg.encode_jpeg(
        pixels.reshape(*pixels.shape[:2], -1),
        quality=_QUALITY,
        colorspace="GRAY" if gray else "BGR",
        colorsubsampling="Gray" if gray else "420",
    )
    target.write_bytes(encoded)


def _with_opencv(pixels: Any, pipeline: Pipeline) -> Any:
    import cv2

    cv2.setNumThreads(1)
    for step in pipeline.steps:
        match step:
            case Grayscale() if pixels.ndim == _WITH_BANDS and pixels.shape[2] > 1:
                pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
            case Blur():
                pixels = _blurred(pixels, step.sigma)
            case Sharpen():
                soft = _blurred(pixels, step.sigma)
                pixels = cv2.addWeighted(pixels, 1 + step.amount, soft, -step.amount, 0)
            case Thumbnail():
                height, width = pixels.shape[:2]
                smaller = fitted(width, height, step.size)
                if smaller != (width, height):
                    pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    return pixels


def _blurred(pixels: Any, sigma: float) -> Any:
    import cv2

    size = len(bell(sigma))
    return cv2.GaussianBlur(pixels, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


AS_THE_WORKER = Way(
    name="as the worker does it", filter=_as_the_worker, formats=frozenset(PictureFormat)
)
WAYS = (
    AS_THE_WORKER,
    Way(name="libvips", filter=_libvips),
    Way(name="OpenCV", filter=_opencv, modules=("cv2",), steps=_OF_OPENCV),
    Way(
        name="libjpeg-turbo, OpenCV",
        filter=_libjpeg_turbo,
        modules=("simplejpeg", "cv2"),
        formats=frozenset({PictureFormat.JPEG}),
        steps=_OF_OPENCV,
    ),
)
"""In the order in which they are tried."""
