"""Sharpening adds what a blur takes away."""

import numpy as np
import pytest

from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import Bench, colourful, image_of


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("sigma", "amount"), [(1, 1), (2, 0.5), (3, 4)])
def test_the_difference_to_the_blur_is_added(
    bench: Bench, depth: int, sigma: float, amount: float
) -> None:
    """So often as was asked for, and cut off at black and white."""
    image = colourful(depth=depth)
    soft = bench.filter(image, f"blur:sigma={sigma}").numpy().astype(float)
    pixels = image.numpy().astype(float)
    expected = np.clip(pixels + amount * (pixels - soft), 0, 2**depth - 1)
    result = bench.filter(image, f"sharpen:sigma={sigma}:amount={amount}").numpy()
    assert np.abs(result - expected).max() <= 0.51


def test_an_edge_becomes_steeper(bench: Bench) -> None:
    """Dark gets darker and light lighter beside it, and nothing changes far from it."""
    pixels = np.full((20, 40, 3), 100, np.uint8)
    pixels[:, 20:] = 150
    result = bench.filter(image_of(pixels), "sharpen:sigma=1").numpy()[10, :, 0].astype(int)
    assert result[19] < 100 < 150 < result[20]
    assert (result[:15] == 100).all()
    assert (result[25:] == 150).all()


def test_alpha_stays_and_the_invisible_is_not_sharpened_against(bench: Bench) -> None:
    """Colours beside transparent pixels are as if those were not there."""
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20] = (200, 100, 50, 255)
    pixels[:, 20:] = (0, 255, 0, 0)
    result = bench.filter(image_of(pixels), "sharpen:sigma=2").numpy()
    assert np.array_equal(result[:, :, 3], pixels[:, :, 3])
    assert np.abs(result[:, :20, :3].astype(int) - (200, 100, 50)).max() <= 1


def test_a_wide_blur_reads_lines_far_ahead(bench: Bench) -> None:
    """Of a picture that is decoded while it is used."""
    image = pyvips.Image.gaussnoise(64, 2000, mean=128, sigma=40, seed=2).cast("uchar")
    image = image.bandjoin([image, image]).copy(interpretation="srgb")
    for kind in (F.JPEG, F.PNG, F.TIFF):
        assert bench.filter(image, "sharpen:sigma=60", kind).height == 2000
