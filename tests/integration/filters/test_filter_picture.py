import itertools
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from dpip.filters import alpha
from dpip.filters.failures import CannotWrite, DecodeFailed, FilterFailed
from dpip.filters.libvips import pyvips
from dpip.formats import read_header
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import PHOTOGRAPH_SIZE, Bench, colourful, image_of, tall


@pytest.mark.parametrize(
    ("kind", "pipeline"),
    list(itertools.product(F, ["grayscale", "blur:sigma=1", "sharpen", "rotate:angle=180,invert"])),
)
def test_every_format_goes_in_and_comes_out(bench: Bench, kind: F, pipeline: str) -> None:
    """The result is a picture of the same format and size, and its header says what is in it."""
    result = bench.filter(colourful(), pipeline, kind)
    assert (result.width, result.height) == PHOTOGRAPH_SIZE
    with bench.target.open("rb") as file:
        written = read_header(file)
    assert bench.header is not None
    assert (written.format, written.width, written.height) == (kind, *PHOTOGRAPH_SIZE)
    assert (bench.header.format, bench.header.width, bench.header.height) == (
        kind,
        *PHOTOGRAPH_SIZE,
    )


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_blur_of_a_point_is_a_bell(bench: Bench, sigma: float) -> None:
    """An impulse comes out as the Gaussian of the sigma that was asked for."""
    pixels = np.zeros((41, 41, 3), np.uint16)
    pixels[20, 20] = 65535
    result = bench.filter(image_of(pixels, "rgb16"), f"blur:sigma={sigma}").numpy()[:, :, 0]
    at = np.arange(41) - 20
    bell = np.exp(-(at**2) / (2 * sigma**2))
    bell /= bell.sum()
    assert np.abs(result / 65535 - np.outer(bell, bell)).max() < 0.04 * bell.max() ** 2


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1, 2, 3, 5, 20, 100])
@pytest.mark.parametrize("bands", [3, 4])
def test_blur_leaves_an_even_picture_as_it_is(bench: Bench, bands: int, sigma: float) -> None:
    """No brightness is lost, neither within nor at the border."""
    pixels = np.full((30, 30, bands), 200, np.uint8)
    assert np.array_equal(bench.filter(image_of(pixels), f"blur:sigma={sigma}").numpy(), pixels)


def test_blur_does_not_let_the_invisible_bleed(bench: Bench) -> None:
    """The colour of fully transparent pixels does not tint what is seen."""
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20] = (200, 100, 50, 255)
    pixels[:, 20:] = (0, 255, 0, 0)
    result = bench.filter(image_of(pixels), "blur:sigma=2").numpy()
    seen = result[result[:, :, 3] > 30]
    assert np.abs(seen[:, :3].astype(int) - (200, 100, 50)).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("pipeline", ["blur", "sharpen:amount=3", "thumbnail:size=20"])
def test_a_picture_that_is_opaque_all_over_is_mixed_as_one_without_alpha(
    bench: Bench, pipeline: str, depth: int
) -> None:
    """In whole numbers, and it stays opaque."""
    colour = colourful(depth=depth)
    most = 2**depth - 1
    opaque = colour.bandjoin(most).copy(interpretation=colour.interpretation)
    without = bench.filter(colour, pipeline).numpy()
    result = bench.filter(opaque, pipeline).numpy()
    assert np.array_equal(result[:, :, :3], without)
    assert (result[:, :, 3] == most).all()


@pytest.mark.parametrize("pipeline", ["blur", "sharpen", "thumbnail:size=20"])
def test_a_picture_too_large_to_be_looked_at_first_comes_out_alike(
    bench: Bench, pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last step, opaque or not."""
    opaque = colourful().bandjoin(255).copy(interpretation="srgb")
    pictures = [opaque, colourful(bands=4)]
    held = [bench.filter(picture, pipeline).numpy().astype(int) for picture in pictures]
    monkeypatch.setattr(alpha, "_HELD_BYTES", 0)
    for picture, expected in zip(pictures, held, strict=True):
        assert np.abs(bench.filter(picture, pipeline).numpy() - expected).max() <= 2


def test_blur_keeps_sixteen_bits(bench: Bench) -> None:
    """Depth survives in PNG and in TIFF."""
    for kind in (F.PNG, F.TIFF):
        assert bench.filter(colourful(depth=16), "blur", kind).format == "ushort"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(bench: Bench, orientation: int) -> None:
    """Each EXIF orientation is applied, and not left to be applied again."""
    image = colourful().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    result = bench.filter(image, "blur:sigma=0.1", F.TIFF)
    assert np.array_equal(result.numpy(), image.autorot().numpy())
    assert result.get("orientation") == 1


def test_private_metadata_is_dropped_and_credits_are_kept(bench: Bench) -> None:
    """Place and serial numbers go, copyright and artist stay."""
    image = colourful().copy()
    for name, value in {
        "exif-ifd0-Copyright": "2020 Ada",
        "exif-ifd0-Artist": "Ada",
        "exif-ifd2-BodySerialNumber": "Camera Works 1",
        "exif-ifd3-GPSLatitude": "51/1 30/1 0/1",
    }.items():
        image.set_type(pyvips.GValue.gstr_type, name, value)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta>51.5N</x:xmpmeta>")
    for kind in (F.JPEG, F.WEBP, F.AVIF):
        result = bench.filter(image, "blur", kind)
        assert result.get("exif-ifd0-Copyright").startswith("2020 Ada"), kind
        assert result.get("exif-ifd0-Artist").startswith("Ada"), kind
        content = bench.target.read_bytes()
        assert b"Camera Works" not in content
        assert b"xmpmeta" not in content
        assert not [name for name in result.get_fields() if "GPS" in name]


def test_blur_keeps_the_colour_profile(bench: Bench) -> None:
    """Colours mean after the blur what they meant before."""
    wide = colourful().icc_transform("p3", input_profile="srgb")
    result = bench.filter(wide, "blur", F.JPEG)
    assert result.get("icc-profile-data") == wide.get("icc-profile-data")


@pytest.mark.parametrize("pipeline", ["grayscale", "blur"])
def test_cmyk_is_read(bench: Bench, pipeline: str) -> None:
    """A print picture keeps its inks under a blur, and turns gray as it looks."""
    inks = colourful().colourspace("cmyk")
    result = bench.filter(inks, pipeline, F.JPEG)
    assert result.bands == (1 if pipeline == "grayscale" else 4)
    if pipeline == "grayscale":
        plain = bench.filter(colourful(), pipeline, F.JPEG).numpy().astype(int)
        assert np.abs(result.numpy().astype(int) - plain).mean() < 20


@pytest.mark.parametrize("kind", [F.GIF, F.WEBP, F.TIFF])
def test_frames_are_filtered_one_by_one(bench: Bench, kind: F) -> None:
    """Nothing of one frame bleeds into the next, and their number and pace stay."""
    dark, light = (image_of(np.full((20, 30, 3), value, np.uint8)) for value in (0, 255))
    animation = tall([dark, light, dark])
    animation.set_type(pyvips.GValue.array_int_type, "delay", [50, 70, 90])
    animation.set_type(pyvips.GValue.gint_type, "loop", 3)
    bench.filter(animation, "blur:sigma=4", kind)
    result = bench.result(kind, n=-1)
    assert (result.get_n_pages(), result.get_page_height()) == (3, 20)
    levels = result.numpy()[:, :, :3].reshape(3, -1)
    assert np.abs(levels.astype(int) - [[0], [255], [0]]).max() <= 3
    if kind is not F.TIFF:
        assert (result.get("delay"), result.get("loop")) == ([50, 70, 90], 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_pages_of_a_long_document_are_filtered(bench: Bench, orientation: int) -> None:
    """A filter asks for the lines of several pages at once, and not in their order."""
    pages = tall([pyvips.Image.black(64, 512)] * 12, orientation=orientation)
    bench.filter(pages, "blur:sigma=4", F.TIFF)
    assert bench.result(F.TIFF, n=-1).get_n_pages() == 12


def test_lossless_webp_stays_lossless(bench: Bench) -> None:
    """What came without loss goes without loss."""
    image = colourful()
    result = bench.filter(image, "blur:sigma=0.1", F.WEBP, lossless=True)
    assert np.array_equal(result.numpy(), image.numpy())


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "jpeg", "packbits"])
def test_tiff_keeps_its_compression(bench: Bench, compression: str, big: bool) -> None:
    """The first page's compression is that of the result."""
    from dpip.filters.encoding import tiff_compression

    bench.filter(colourful(), "blur", F.TIFF, compression=compression, bigtiff=big)
    assert tiff_compression(bench.target) == compression


def test_a_higher_level_makes_a_smaller_png(bench: Bench) -> None:
    """Of the same pixels."""
    source = bench.directory / "source.png"
    colourful().resize(8).pngsave(str(source))
    sizes, pixels = [], []
    for level in (0, 1, 9):
        result = bench.filter_file(source, "blur", F.PNG, png_compression=level)
        pixels.append(result.numpy())
        sizes.append(bench.target.stat().st_size)
    assert sizes == sorted(set(sizes), reverse=True)
    assert np.array_equal(pixels[0], pixels[1])
    assert np.array_equal(pixels[0], pixels[2])


def test_a_palette_is_no_obstacle(bench: Bench) -> None:
    """A PNG of few colours is filtered in all colours."""
    assert bench.filter(colourful(), "blur", F.PNG, palette=True).bands == 3


@pytest.mark.parametrize("kind", F)
def test_half_a_picture_fails(bench: Bench, kind: F) -> None:
    """A picture that is cut off fails to decode and leaves no file; it does not come back gray."""
    noise = pyvips.Image.gaussnoise(200, 200, mean=128, sigma=40).cast("uchar")
    source = bench.directory / f"half{kind.suffix}"
    noise.bandjoin([noise, noise]).copy(interpretation="srgb").write_to_file(str(source))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(DecodeFailed):
        bench.filter_file(source, "blur", kind)
    assert not bench.target.exists()


def test_a_picture_is_read_as_what_it_was_said_to_be(bench: Bench) -> None:
    """No loader guesses: bytes of another format fail to decode."""
    source = bench.directory / "source.png"
    colourful().write_to_file(str(source))
    with pytest.raises(DecodeFailed):
        bench.filter_file(source, "blur", F.JPEG)


@pytest.mark.parametrize(("pipeline", "kind"), [("blur", F.PNG), ("grayscale", F.JPEG)])
def test_a_result_that_cannot_be_written_is_no_fault_of_the_picture(
    bench: Bench, pipeline: str, kind: F
) -> None:
    """It is not told as a failure, which would be the picture's."""
    bench.target = bench.directory / "missing" / "target"
    with pytest.raises(CannotWrite, match="No such file"):
        bench.filter(colourful(), pipeline, kind)


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.parametrize("pipeline", ["grayscale", "flip"])
@pytest.mark.parametrize("kind", F)
def test_a_result_longer_than_a_file_may_be_fails(bench: Bench, kind: F, pipeline: str) -> None:
    """It is the picture's fault, not the disk's, and nothing of it is left."""
    source = bench.directory / f"source{kind.suffix}"
    noise = pyvips.Image.gaussnoise(256, 256, mean=128, sigma=60).cast("uchar")
    noise.bandjoin([noise, noise]).copy(interpretation="srgb").write_to_file(str(source))
    with longest_file(2000), pytest.raises(FilterFailed, match="longer than a file may be"):
        bench.filter_file(source, pipeline, kind)
    assert not bench.target.exists()
