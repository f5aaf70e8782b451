"""Filters that move pixels or turn their values about, and change nothing else."""

from typing import Any

import numpy as np
import pytest

from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import Bench, colourful, image_of, tall

EXPECTED = {
    "rotate": lambda pixels: np.rot90(pixels, -1),
    "rotate:angle=180": lambda pixels: np.rot90(pixels, 2),
    "rotate:angle=270": lambda pixels: np.rot90(pixels),
    "flip": lambda pixels: pixels[:, ::-1],
    "flip:direction=vertical": lambda pixels: pixels[::-1],
}


@pytest.mark.parametrize("kind", [F.PNG, F.TIFF])
@pytest.mark.parametrize(("bands", "depth"), [(3, 8), (4, 8), (3, 16)])
@pytest.mark.parametrize("pipeline", EXPECTED)
def test_every_pixel_goes_where_it_belongs(
    bench: Bench, pipeline: str, bands: int, depth: int, kind: F
) -> None:
    """Unchanged, alpha and depth included; an angle is clockwise."""
    image = colourful(bands, depth)
    result = bench.filter(image, pipeline, kind).numpy()
    assert result.dtype == image.numpy().dtype
    assert np.array_equal(result, EXPECTED[pipeline](image.numpy()))


@pytest.mark.parametrize("pipeline", EXPECTED)
def test_lines_are_not_asked_for_in_their_order(bench: Bench, pipeline: str) -> None:
    """Of a picture of many lines that is decoded while it is used."""
    image = pyvips.Image.gaussnoise(40, 3000, mean=128, sigma=40, seed=4).cast("uchar")
    result = bench.filter(image, f"blur:sigma=0.1,{pipeline}", F.PNG)
    assert np.array_equal(result.numpy(), EXPECTED[pipeline](image.numpy()))


@pytest.mark.parametrize("pipeline", EXPECTED)
def test_a_picture_is_upright_before_it_is_turned(bench: Bench, pipeline: str) -> None:
    """The turn is that of the picture as it is seen."""
    image = colourful().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    result = bench.filter(image, pipeline, F.TIFF)
    assert np.array_equal(result.numpy(), EXPECTED[pipeline](image.autorot().numpy()))


@pytest.mark.parametrize("kind", [F.GIF, F.WEBP, F.TIFF])
@pytest.mark.parametrize("pipeline", EXPECTED)
def test_every_frame_is_turned_by_itself(bench: Bench, pipeline: str, kind: F) -> None:
    """Their order and number stay."""
    pixels = np.zeros((3, 16, 32, 3), np.uint8)
    for frame, level in enumerate((80, 160, 240)):
        pixels[frame, :8, :16] = level
    bench.filter(tall([image_of(frame) for frame in pixels]), pipeline, kind)
    result = bench.result(kind, n=-1)
    seen = result.numpy()[:, :, :3].reshape(3, result.get_page_height(), result.width, 3)
    for frame, original in zip(seen, pixels, strict=True):
        assert np.abs(frame.astype(int) - EXPECTED[pipeline](original)).mean() <= 8


@pytest.mark.parametrize(("bands", "depth"), [(3, 8), (4, 8), (3, 16)])
def test_a_negative_is_what_is_left_to_white(bench: Bench, bands: int, depth: int) -> None:
    """Alpha stays, and twice it is the picture again."""
    image = colourful(bands, depth)
    expected = image.numpy().copy()
    expected[:, :, :3] = 2**depth - 1 - expected[:, :, :3]
    assert np.array_equal(bench.filter(image, "invert").numpy(), expected)
    assert np.array_equal(bench.filter(image, "invert,invert").numpy(), image.numpy())


def test_the_negative_of_light_is_what_is_left_to_one(bench: Bench) -> None:
    """In a TIFF of floating point."""
    pixels: Any = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="scrgb")
    result = bench.filter(image, "invert", F.TIFF)
    assert result.format == "float"
    assert np.allclose(result.numpy(), 1 - pixels)
