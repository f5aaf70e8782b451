"""Thumbnails: as large as they were asked for, and as they look when nothing is left out."""

from typing import Any

import numpy as np
import pytest

from dpip.filters import loading
from dpip.filters.libvips import pyvips
from dpip.filters.thumbnail import fitted
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import Bench, colourful, image_of, soft, tall


def averaged(image: Any, factor: int) -> Any:
    """Means of squares, which a thumbnail is near."""
    pixels = image.numpy().astype(float)
    height, width, bands = (pixels.shape[0], pixels.shape[1], -1)
    return pixels.reshape(height // factor, factor, width // factor, factor, bands).mean(
        axis=(1, 3)
    )


@pytest.mark.parametrize("kind", F)
@pytest.mark.parametrize("size", [1, 16, 33])
def test_the_longer_side_is_what_was_asked_for(bench: Bench, kind: F, size: int) -> None:
    """In every format, and the proportions stay."""
    result = bench.filter(colourful(), f"thumbnail:size={size}", kind)
    assert (result.width, result.height) == (size, max(1, round(size * 0.75)))
    assert bench.header is not None
    assert (bench.header.width, bench.header.height) == (result.width, result.height)


def test_a_thumbnail_looks_like_the_picture(bench: Bench) -> None:
    """Its pixels are the means of those of the picture."""
    image = soft(512, 384)
    result = bench.filter(image, "thumbnail:size=64")
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(result.numpy().astype(int)[inner] - averaged(image, 8)[inner]).max() <= 1


@pytest.mark.parametrize("pipeline", ["thumbnail:size=65", "thumbnail", "thumbnail:size=4096"])
def test_no_picture_is_enlarged(bench: Bench, pipeline: str) -> None:
    """One that fits stays as it is."""
    image = colourful(bands=4)
    assert np.array_equal(bench.filter(image, pipeline).numpy(), image.numpy())


@pytest.mark.parametrize("pipeline", ["thumbnail:size=40", "grayscale,thumbnail:size=40"])
@pytest.mark.parametrize(
    "sides", [(640, 480), (641, 479), (333, 999), (1000, 90), (1000, 63), (1000, 6)]
)
def test_a_jpeg_that_is_shrunk_as_it_is_decoded_comes_out_alike(
    bench: Bench, pipeline: str, sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the pixel in size, and in place to half a pixel, over which this picture changes by 3."""
    source = bench.directory / "source.jpg"
    soft(*sides).jpegsave(str(source), Q=98)
    shrunk = bench.filter_file(source, pipeline, F.JPEG).numpy().astype(int)
    monkeypatch.setattr(loading, "_SHRINKS", ())
    whole = bench.filter_file(source, pipeline, F.JPEG).numpy().astype(int)
    assert shrunk.shape == whole.shape
    width, height = fitted(*sides, 40)
    assert shrunk.shape[:2] == (height, width)
    assert np.abs(shrunk - whole).mean() <= 3


def test_a_jpeg_is_decoded_no_larger_than_needed(bench: Bench) -> None:
    """Twice as large as the thumbnail, and eight times smaller than it is, at most."""
    source = bench.directory / "source.jpg"
    soft(1600, 1200).jpegsave(str(source))
    for size, expected in ((100, 200), (101, 400), (399, 800), (401, 1600), (10, 200)):
        image = loading.load(source, F.JPEG, loading.Draft(size=size))
        assert image.width == expected
        gray = loading.load(source, F.JPEG, loading.Draft(size=size, gray=True))
        assert (gray.width, gray.bands) == (expected, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pipeline", ["thumbnail:size=32", "thumbnail:size=32,grayscale"])
def test_a_thumbnail_is_upright(bench: Bench, orientation: int, pipeline: str) -> None:
    """The picture is turned before it is made small."""
    image = soft(160, 120).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    result = bench.filter(image, pipeline, F.JPEG, Q=98)
    expected = image.autorot().resize(0.2)
    if "grayscale" in pipeline:
        expected = expected.colourspace("b-w")
    assert (result.width, result.height) == (expected.width, expected.height)
    tolerance = 12 if "grayscale" in pipeline else 4
    assert np.abs(result.numpy().astype(int) - expected.numpy()).mean() <= tolerance


@pytest.mark.parametrize("depth", [8, 16])
def test_the_invisible_does_not_tint_a_thumbnail(bench: Bench, depth: int) -> None:
    """Colours count by their opacity."""
    most = 2**depth - 1
    pixels = np.zeros((64, 64, 4), np.uint8 if depth == 8 else np.uint16)
    pixels[:, 0::2] = (most * 4 // 5, most * 2 // 5, most // 5, most)
    pixels[:, 1::2] = (0, most, 0, 0)
    result = bench.filter(
        image_of(pixels, "srgb" if depth == 8 else "rgb16"), "thumbnail:size=8"
    ).numpy()
    assert np.abs(result[:, :, :3].astype(int) - pixels[0, 0, :3]).max() <= 1
    assert np.abs(result[:, :, 3].astype(int) - most / 2).max() <= most * 0.02


def test_depth_and_profile_of_a_thumbnail_stay(bench: Bench) -> None:
    """Its colours mean what they meant before."""
    assert bench.filter(colourful(depth=16), "thumbnail:size=9").format == "ushort"
    wide = colourful().icc_transform("p3", input_profile="srgb")
    result = bench.filter(wide, "thumbnail:size=9", F.JPEG)
    assert result.get("icc-profile-data") == wide.get("icc-profile-data")
    inks = bench.filter(colourful().colourspace("cmyk"), "thumbnail:size=9", F.JPEG)
    assert inks.bands == 4


@pytest.mark.parametrize("kind", [F.GIF, F.WEBP, F.TIFF])
def test_every_frame_is_made_small(bench: Bench, kind: F) -> None:
    """By itself, and their number and pace stay."""
    dark, light = (image_of(np.full((20, 30, 3), value, np.uint8)) for value in (0, 255))
    animation = tall([dark, light, dark])
    animation.set_type(pyvips.GValue.array_int_type, "delay", [50, 70, 90])
    bench.filter(animation, "thumbnail:size=15", kind)
    result = bench.result(kind, n=-1)
    assert (result.get_n_pages(), result.width, result.get_page_height()) == (3, 15, 10)
    levels = result.numpy()[:, :, :3].reshape(3, -1)
    assert np.abs(levels.astype(int) - [[0], [255], [0]]).max() <= 3
    if kind is not F.TIFF:
        assert result.get("delay") == [50, 70, 90]
