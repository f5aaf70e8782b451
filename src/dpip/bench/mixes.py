"""Folders of pictures to measure with, made of real photographs. Loads libvips."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from dpip.filters.libvips import pyvips

_FRAME = (1280, 720)
_FRAMES = 60
_MEGAPIXELS = (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 8, 8, 12, 18) * 3
_THUMBNAIL = (256, 256)
_THUMBNAILS = 500
_CAMERA_QUALITY = 92
_THUMBNAIL_QUALITY = 80

# Enlarged pictures are smooth as no sensor's are: with such noise, a JPEG of them has as many bits
# a pixel as one of a camera.
_NOISE = 4.0


def make_mix(mix: str, photographs: Sequence[Path], folder: Path) -> None:
    """Make the pictures of ``mix`` in ``folder`` out of ``photographs``; the same ones every time.

    ``frames``: PNGs of 1280 by 720. ``photographs``: JPEGs of 1 to 18 megapixels, 5.5 on average.
    ``thumbnails``: JPEGs of 256 by 256. ``mixed``: some of each.
    """
    match mix:
        case "frames":
            _frames(photographs, folder, _FRAMES)
        case "photographs":
            _photographs(photographs, folder, _MEGAPIXELS)
        case "thumbnails":
            _thumbnails(photographs, folder, _THUMBNAILS)
        case "mixed":
            _frames(photographs, folder, _FRAMES // 3)
            _photographs(photographs, folder, _MEGAPIXELS[::9])
            _thumbnails(photographs, folder, _THUMBNAILS // 3)


MIXES = ("frames", "photographs", "thumbnails", "mixed")


def _frames(photographs: Sequence[Path], folder: Path, count: int) -> None:
    for number, image in _variants(photographs, [_FRAME] * count):
        image.pngsave(str(folder / f"frame-{number:03}.png"), compression=6)


def _photographs(photographs: Sequence[Path], folder: Path, megapixels: Sequence[int]) -> None:
    sizes = [_three_to_two(each) for each in megapixels]
    for number, image in _variants(photographs, sizes):
        image.jpegsave(str(folder / f"photograph-{number:03}.jpg"), Q=_CAMERA_QUALITY)


def _thumbnails(photographs: Sequence[Path], folder: Path, count: int) -> None:
    for number, image in _variants(photographs, [_THUMBNAIL] * count):
        image.jpegsave(str(folder / f"thumbnail-{number:04}.jpg"), Q=_THUMBNAIL_QUALITY)


def _three_to_two(megapixels: int) -> tuple[int, int]:
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    return round(1.5 * height), height


def _variants(
    photographs: Sequence[Path], sizes: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, pyvips.Image]]:
    """A picture of each size, no two alike: the photographs in turns, cut and with noise."""
    colours = [image for image in map(_open, photographs) if image.bands == 3]
    for number, (image, (width, height)) in enumerate(
        zip(itertools.cycle(colours), sizes, strict=False)
    ):
        covering = max(width / image.width, height / image.height)
        enlarged = image.resize(covering * (1 + 0.1 * (number % 7)))
        left = (enlarged.width - width) * (number % 5) // 4
        top = (enlarged.height - height) * (number % 3) // 2
        cut = enlarged.crop(left, top, width, height)
        noise = pyvips.Image.gaussnoise(width, height, sigma=_NOISE, mean=0, seed=number)
        yield number, (cut + noise).cast("uchar").copy(interpretation="srgb")


def _open(photograph: Path) -> pyvips.Image:
    return pyvips.Image.new_from_file(str(photograph)).colourspace("srgb")
