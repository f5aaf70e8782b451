"""Opening a picture's file with the loader of its format, and turning it upright."""

from itertools import takewhile
from pathlib import Path
from typing import Any

from msgspec import Struct

from dpip.filters.frames import each_frame, frame_count
from dpip.filters.gray_jpeg import load_luma
from dpip.filters.grayscale import Grayscale
from dpip.filters.libvips import pyvips
from dpip.filters.pipeline import Pipeline
from dpip.filters.thumbnail import Thumbnail, fitted
from dpip.filters.tiff_pages import open_tiff
from dpip.formats.byte_reader import ByteReader
from dpip.formats.jpeg import is_lossless_jpeg
from dpip.model.image import PictureFormat

# Each format by its own loader: what the header said is what is decoded, whatever else the bytes
# might be taken for.
_LOADERS = {
    PictureFormat.JPEG: (pyvips.Image.jpegload, {}),
    PictureFormat.PNG: (pyvips.Image.pngload, {}),
    PictureFormat.WEBP: (pyvips.Image.webpload, {"n": -1}),
    PictureFormat.GIF: (pyvips.Image.gifload, {"n": -1}),
    PictureFormat.TIFF: (open_tiff, {}),
    PictureFormat.AVIF: (pyvips.Image.heifload, {}),
}
_AS_STORED, _MIRRORED, _ON_ITS_SIDE = 1, 2, 5

_SHRINKS = (8, 4, 2)
"""What the decoder of a JPEG can divide its sides by, the largest first."""

_LEFT_TO_SHRINK = 2
"""Times that a picture is still larger than its thumbnail, so that its edges come out smooth."""

_LEAST_LEFT = 8
"""Pixels of the shorter side that are left: the decoder leaves out what makes no whole one."""


class Draft(Struct, frozen=True, kw_only=True):
    """What filters leave of a picture, so that no more of it need be decoded.

    ``gray``: no colour. ``size``: no side longer than that, in pixels.
    """

    gray: bool = False
    size: int | None = None


def draft_for(pipeline: Pipeline) -> Draft:
    """What the first filters of ``pipeline`` leave."""
    first = list(takewhile(lambda step: isinstance(step, Grayscale | Thumbnail), pipeline.steps))
    sizes = [step.size for step in first if isinstance(step, Thumbnail)]
    gray = any(isinstance(step, Grayscale) for step in first)
    return Draft(gray=gray, size=sizes[0] if sizes else None)


def load(source: Path, format: PictureFormat, draft: Draft) -> "pyvips.Image":  # noqa: A002
    """Open all frames of ``source``, upright, one above the other.

    Of a JPEG, no more is decoded than ``draft`` asks for. Pixels are decoded from top to bottom
    while they are used, so that memory stays flat, unless the picture has to be turned or has
    several frames, whose lines are not used in their order. Raises ``pyvips.Error``, here or when
    the pixels are used.
    """
    image = open_header(source, format)
    shrink = 1
    if format is PictureFormat.JPEG:
        shrink = _shrink(source, image, draft.size)
        if draft.gray and (luma := load_luma(source, image, shrink)):
            return _upright(luma)
    in_order = _orientation(image) in (_AS_STORED, _MIRRORED) and frame_count(image) == 1
    access = "sequential" if in_order else "random"
    if shrink > 1:
        image = _open(source, format, access=access, shrink=shrink)
    elif not in_order:
        image = _open(source, format, access=access)
    return _upright(image)


def open_header(source: Path, format: PictureFormat) -> "pyvips.Image":  # noqa: A002
    """Open ``source``, to be read from top to bottom. Raises ``pyvips.Error``."""
    return _open(source, format, access="sequential")


def is_upright(image: "pyvips.Image") -> bool:
    """Whether pixels lie as they are to be seen."""
    return _orientation(image) == _AS_STORED


def _open(source: Path, format: PictureFormat, **options: Any) -> "pyvips.Image":  # noqa: A002
    loader, of_all_frames = _LOADERS[format]
    # Half a picture is no result: one that is cut off or damaged fails.
    return loader(str(source), fail_on="error", **of_all_frames, **options)


def _shrink(source: Path, image: "pyvips.Image", size: int | None) -> int:
    """By how much the decoder may divide the sides, and the thumbnail is as long and as wide."""
    if size is None:
        return 1
    sides = image.width, image.height
    for factor in _SHRINKS:
        left = image.width // factor, image.height // factor
        if (
            min(left) >= _LEAST_LEFT
            and max(left) >= _LEFT_TO_SHRINK * size
            and fitted(*left, size) == fitted(*sides, size)
        ):
            # Without blocks of frequencies a decoder has nothing to divide, and gives a corner.
            return 1 if _is_lossless(source) else factor
    return 1


def _is_lossless(source: Path) -> bool:
    with source.open("rb") as file:
        return is_lossless_jpeg(ByteReader(file))


def _upright(image: "pyvips.Image") -> "pyvips.Image":
    if is_upright(image):
        return image
    upright = each_frame(image, pyvips.Image.autorot)
    if _orientation(image) < _ON_ITS_SIDE:
        return upright
    return upright.copy(xres=image.yres, yres=image.xres)


def _orientation(image: "pyvips.Image") -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else _AS_STORED
