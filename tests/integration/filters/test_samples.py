"""Samples keep their meaning: depth and scale, and what each channel is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dpip.filters.failures import DecodeFailed
from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat as F
from dpip.model.note import Note
from tests.integration.filters.pictures import Bench
from tests.integration.filters.tiffs import (
    ASSOCIATED,
    GRAY,
    INKS,
    LAB,
    RGB,
    UNASSOCIATED,
    UNSPECIFIED,
    WHITE_IS_ZERO,
    ramp,
    write_tiff,
)

WEIGHTS = np.array([0.299, 0.587, 0.114])
KINDS = {
    "float": (np.float32, 1.0),
    "brighter than white": (np.float32, 7.5),
    "u16": (np.uint16, 65535),
    "u32": (np.uint32, 4e9),
    "i16": (np.int16, 32000),
    "i32": (np.int32, 2e9),
}
FILTERS = ["grayscale", "invert", "blur:sigma=0.1", "sharpen:sigma=0.1", "flip", "rotate:angle=180"]


def expected(pipeline: str, pixels: Any) -> Any:
    """What the filter makes of colours, in the same numbers."""
    exact = pixels.astype(float)
    if pipeline == "grayscale":
        return exact @ WEIGHTS
    if pipeline == "invert":
        most = {"f": 1.0, "u": np.iinfo(np.uint32).max, "i": -1.0}[pixels.dtype.kind]
        return (65535 if pixels.dtype == np.uint16 else most) - exact
    turns = {"flip": np.fliplr, "rotate:angle=180": lambda each: each[::-1, ::-1]}
    return turns.get(pipeline, lambda each: each)(exact)


def source_of(bench: Bench, pixels: Any, photometric: int, *extra: int, **fields: int) -> Path:
    return write_tiff(bench.directory / "source.tiff", pixels, photometric, extra, **fields)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("pipeline", FILTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_depth_and_scale_stay(bench: Bench, kind: str, pipeline: str, alpha: bool) -> None:
    """Whatever the numbers are; gray is the luma of the values, and alpha is what it was."""
    dtype, most = KINDS[kind]
    pixels = ramp(4 if alpha else 3, dtype, most)
    source = source_of(bench, pixels, RGB, *([UNASSOCIATED] if alpha else []))
    result = bench.filter_file(source, pipeline, F.TIFF).numpy()
    assert result.dtype == dtype
    colours = expected(pipeline, pixels[:, :, :3])
    opacity = expected(pipeline if pipeline in FILTERS[4:] else "", pixels[:, :, 3:])
    # Eight bits of the scale, and what single precision has to say of 32.
    least = 0.51 if dtype in (np.uint16, np.int16) else most * 1e-6
    found = result.reshape(*result.shape[:2], -1)
    gray = 1 if pipeline == "grayscale" else 3
    seen = opacity[:, :, 0] > most / 50 if alpha else np.ones(pixels.shape[:2], bool)
    difference = found[:, :, :gray].astype(float) - colours.reshape(*colours.shape[:2], gray)
    assert np.abs(difference[seen]).max() <= least
    if alpha:
        assert np.abs(found[:, :, gray:].astype(float) - opacity).max() <= least


def test_a_float_thumbnail_is_of_the_same_scale(bench: Bench) -> None:
    """HDR, negative light and all."""
    pixels = np.full((64, 64, 3), (12.5, -0.25, 0.46), np.float32)
    source = source_of(bench, pixels, RGB)
    result = bench.filter_file(source, "thumbnail:size=16,blur", F.TIFF).numpy()
    assert result.shape == (16, 16, 3)
    assert np.allclose(result, (12.5, -0.25, 0.46), atol=1e-4)


def test_gray_of_floats_with_a_profile_keeps_both(bench: Bench) -> None:
    """Their values cannot go to sRGB and keep their scale, so it has three channels."""
    pixels = np.full((8, 8, 3), (0.9, 0.2, 0.4), np.float32)
    source = bench.directory / "source.tiff"
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="scrgb")
    p3 = image.colourspace("srgb").icc_transform("p3", input_profile="srgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", p3.get("icc-profile-data"))
    image.tiffsave(str(source))
    result = bench.filter_file(source, "grayscale", F.TIFF)
    assert result.get("icc-profile-data") == p3.get("icc-profile-data")
    assert np.allclose(result.numpy(), (0.9, 0.2, 0.4) @ WEIGHTS, atol=1e-6)
    assert result.bands == 3


def test_what_is_no_number_stays_so(bench: Bench) -> None:
    """And makes nothing else of its neighbours."""
    pixels = ramp(3, np.float32, 1)
    pixels[3, 5, 1] = np.nan
    gray = bench.filter_file(source_of(bench, pixels, RGB), "grayscale", F.TIFF).numpy()
    assert np.argwhere(np.isnan(gray)).tolist() == [[3, 5]]


@pytest.mark.parametrize("pipeline", ["grayscale", "blur", "flip", "thumbnail:size=16"])
def test_lab_with_alpha_is_as_bright_and_as_opaque(bench: Bench, pipeline: str) -> None:
    """CIELAB of 16 bits, which libvips reads as signed, and its alpha with it."""
    pixels = np.full((32, 32, 4), (40000, 0, 0, 65535), np.uint16)
    source = source_of(bench, pixels, LAB, UNASSOCIATED)
    bench.filter_file(source, pipeline, F.TIFF)
    result = pyvips.Image.tiffload(str(bench.target))
    assert result(3, 3)[-1] in (65535, -1)
    lightness = result.colourspace("lab")(3, 3)[0]
    assert lightness == pytest.approx(40000 / 65535 * 100, abs=0.2)
    assert result.format == ("ushort" if pipeline == "grayscale" else "short")


@pytest.mark.parametrize("pipeline", [*FILTERS, "thumbnail:size=16"])
@pytest.mark.parametrize(
    ("photometric", "colours", "extra"),
    [
        (RGB, 3, (UNSPECIFIED,)),
        (RGB, 3, (UNSPECIFIED, UNSPECIFIED)),
        (RGB, 3, ()),
        (GRAY, 1, (UNSPECIFIED,)),
        (INKS, 4, (UNSPECIFIED,)),
    ],
)
def test_a_channel_of_its_own_is_never_opacity(
    bench: Bench, photometric: int, colours: int, extra: tuple[int, ...], pipeline: str
) -> None:
    """It is dropped, and that is said."""
    pixels = ramp(colours + (len(extra) or 1), np.uint8, 255)
    source = source_of(bench, pixels, photometric, *extra)
    result = bench.filter_file(source, pipeline, F.TIFF)
    assert bench.notes == (Note.CHANNELS_DROPPED,)
    assert not result.hasalpha()
    assert result.bands == (1 if pipeline == "grayscale" else colours)
    without = bench.directory / "without.tiff"
    write_tiff(without, np.ascontiguousarray(pixels[:, :, :colours]), photometric)
    found = result.copy_memory().numpy()
    assert np.array_equal(found, bench.filter_file(without, pipeline, F.TIFF).numpy())


@pytest.mark.parametrize("extra", [(UNASSOCIATED, UNSPECIFIED), (UNSPECIFIED, UNASSOCIATED)])
def test_opacity_is_found_among_other_channels(bench: Bench, extra: tuple[int, ...]) -> None:
    """Wherever it is."""
    pixels = ramp(5, np.uint8, 255)
    result = bench.filter_file(source_of(bench, pixels, RGB, *extra), "flip", F.TIFF)
    opacity = 3 + extra.index(UNASSOCIATED)
    assert np.array_equal(result.numpy(), np.fliplr(pixels[:, :, [0, 1, 2, opacity]]))
    with Image.open(bench.target) as written:
        assert written.tag_v2[338] == (UNASSOCIATED,)  # type: ignore[attr-defined]


def test_associated_alpha_is_taken_out_of_the_colours(bench: Bench) -> None:
    """They are written as they are seen, and their alpha is declared so."""
    colour, opacity = np.array([200, 100, 50]), 128
    premultiplied = np.round(colour * opacity / 255)
    pixels = np.full((8, 8, 4), [*premultiplied, opacity], np.uint8)
    result = bench.filter_file(source_of(bench, pixels, RGB, ASSOCIATED), "flip", F.TIFF).numpy()
    assert np.abs(result[0, 0].astype(int) - [*colour, opacity]).max() <= 1
    with Image.open(bench.target) as written:
        assert written.tag_v2[338] == (UNASSOCIATED,)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("photometric", "fields", "named"),
    [(9, {}, "photometric interpretation 9"), (INKS, {"tag332": 2}, "InkSet 2")],
)
def test_channels_of_an_unknown_kind_are_refused_by_name(
    bench: Bench, photometric: int, fields: dict[str, int], named: str
) -> None:
    """Rather than filtered as something else."""
    pixels = ramp(4 if photometric == INKS else 3, np.uint8, 255)
    source = source_of(bench, pixels, photometric, **fields)
    with pytest.raises(DecodeFailed, match=named):
        bench.filter_file(source, "blur", F.TIFF)


def test_samples_of_64_bits_are_refused_by_name(bench: Bench) -> None:
    """No filter counts so far."""
    source = source_of(bench, ramp(3, np.float64, 1), RGB)
    with pytest.raises(DecodeFailed, match="64 bits"):
        bench.filter_file(source, "blur", F.TIFF)


@pytest.mark.parametrize(
    ("photometric", "dtype", "samples", "fields", "named"),
    [
        (WHITE_IS_ZERO, np.float32, 1, {}, "0 is white"),
        (WHITE_IS_ZERO, np.float16, 1, {}, "0 is white"),
        (WHITE_IS_ZERO, np.int16, 1, {}, "0 is white"),
        (GRAY, np.uint8, 2, {"tag284": 2}, "separate planes"),
        (RGB, np.float16, 3, {"tag284": 2}, "separate planes"),
    ],
)
def test_samples_that_libvips_takes_for_others_are_refused(
    bench: Bench,
    photometric: int,
    dtype: type,
    samples: int,
    fields: dict[str, int],
    named: str,
) -> None:
    """It would show a negative, or values of one plane in another."""
    pixels = ramp(samples, dtype, 1 if np.dtype(dtype).kind == "f" else 100)
    extra = [UNASSOCIATED] if samples == 2 else []
    with pytest.raises(DecodeFailed, match=named):
        bench.filter_file(source_of(bench, pixels, photometric, *extra, **fields), "flip", F.TIFF)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_where_0_is_white_gray_is_what_is_seen(bench: Bench, dtype: type) -> None:
    """And the result says so of its own samples."""
    most = np.iinfo(dtype).max
    pixels = ramp(1, dtype, most)
    result = bench.filter_file(source_of(bench, pixels, WHITE_IS_ZERO), "flip", F.TIFF).numpy()
    assert np.array_equal(result, np.fliplr(most - pixels[:, :, 0]))


@pytest.mark.parametrize("suffix", ["tiff", "jpg"])
def test_the_negative_of_inks_is_that_of_what_is_seen(bench: Bench, suffix: str) -> None:
    """Paper, black, cyan and red become black, paper, red and cyan."""
    inks = [(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0), (0, 255, 255, 0)]
    pixels = np.repeat(np.repeat(np.array([inks], np.uint8), 16, axis=0), 16, axis=1)
    source = bench.directory / f"source.{suffix}"
    options = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(pixels, "CMYK").save(source, **options)  # type: ignore[arg-type]
    kind = F.JPEG if suffix == "jpg" else F.TIFF
    for pipeline, wanted in {
        "invert": [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 255)],
        "invert,invert": [(255, 255, 255), (0, 0, 0), (0, 255, 255), (255, 0, 0)],
        "grayscale": [(255,) * 3, (0,) * 3, (178.8,) * 3, (76.2,) * 3],
    }.items():
        bench.filter_file(source, pipeline, kind)
        with Image.open(bench.target) as result:
            assert result.mode == ("L" if pipeline == "grayscale" else "CMYK")
            seen = np.asarray(result.convert("RGB"))[8, 8::16]
        assert np.abs(seen.astype(float) - wanted).max() <= 6


def test_the_negative_of_inks_in_floating_point_is_of_their_scale(bench: Bench) -> None:
    """From 0, where there is none, to 1."""
    pixels = np.full((8, 8, 4), (0.5, 0.0, 1.0, 0.25), np.float32)
    seen = (1 - pixels[0, 0, :3]) * (1 - pixels[0, 0, 3])
    source = source_of(bench, pixels, INKS)
    gray = bench.filter_file(source, "grayscale", F.TIFF)(3, 3)
    assert gray == pytest.approx([seen @ WEIGHTS], abs=1e-6)
    inks = np.array(bench.filter_file(source, "invert", F.TIFF)(3, 3))
    assert np.allclose((1 - inks[:3]) * (1 - inks[3]), 1 - seen, atol=1e-6)


def test_the_negative_of_inks_with_a_profile_is_seen_by_it(bench: Bench) -> None:
    """And the profile stays."""
    down, across = np.mgrid[0:32, 0:32]
    soft = np.stack([across * 2 + 90, down * 2 + 90, 220 - across - down], axis=2)
    seen = pyvips.Image.new_from_array(soft.astype(np.uint8)).copy(interpretation="srgb")
    inks = seen.icc_transform("cmyk", input_profile="srgb")
    result = bench.filter(inks, "invert", F.TIFF)
    assert result.get("icc-profile-data") == inks.get("icc-profile-data")
    shown = result.icc_transform("srgb", embedded=True).numpy().astype(int)
    was = inks.icc_transform("srgb", embedded=True).numpy().astype(int)
    assert np.abs(shown - (255 - was)).mean() <= 6
