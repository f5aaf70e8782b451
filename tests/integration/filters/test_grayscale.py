"""One gray for all formats: the luma of ITU-R BT.601, whichever way it is come by."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dpip.filters import gray_jpeg, profiles
from dpip.filters.failures import DecodeFailed
from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import Bench, colourful, image_of, soft

WEIGHTS = np.array([0.299, 0.587, 0.114])


def luma_of(image: Any) -> Any:
    return image.numpy()[:, :, :3] @ WEIGHTS


def photograph(width: int = 331, height: int = 203) -> Any:
    """A picture with grain."""
    grain = pyvips.Image.gaussnoise(width, height, mean=0, sigma=8, seed=1)
    return (soft(width, height) + grain).cast("uchar").copy(interpretation="srgb")


@pytest.fixture
def luma_decoded(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each JPEG that was to become gray was decoded without its colour."""
    taken: list[bool] = []
    decode_luma = gray_jpeg.decode_luma

    def note(*arguments: Any) -> Any:
        image = decode_luma(*arguments)
        taken.append(image is not None)
        return image

    monkeypatch.setattr(gray_jpeg, "decode_luma", note)
    return taken


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_is_the_luma_of_the_colour(bench: Bench, depth: int) -> None:
    """To half a step, at the depth of the original."""
    colour = colourful(depth=depth)
    result = bench.filter(colour, "grayscale")
    assert result.bands == 1
    assert result.format == colour.format
    assert np.abs(result.numpy() - luma_of(colour)).max() <= 0.51


def test_gray_values_of_known_colours(bench: Bench) -> None:
    """Red, green, blue, white and black are as dark as everybody has them."""
    known = {(255, 0, 0): 76, (0, 255, 0): 150, (0, 0, 255): 29, (255,) * 3: 255, (0,) * 3: 0}
    result = bench.filter(image_of(np.array([list(known)], np.uint8)), "grayscale")
    assert result.numpy().tolist() == [list(known.values())]


def test_gray_that_is_gray_stays_as_it_is(bench: Bench) -> None:
    """Filtering twice changes nothing."""
    once = bench.filter(colourful(), "grayscale").copy_memory()
    assert np.array_equal(bench.filter(once, "grayscale").numpy(), once.numpy())


def test_gray_keeps_alpha(bench: Bench) -> None:
    """Transparency is that of the original."""
    colour = colourful(bands=4)
    result = bench.filter(colour, "grayscale")
    assert result.bands == 2
    assert np.array_equal(result.numpy()[:, :, 1], colour.numpy()[:, :, 3])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsample_mode": "off"},
        {"interlace": True},
        {"optimize_coding": True, "restart_interval": 3},
        {"Q": 30},
    ],
    ids=str,
)
def test_a_jpeg_is_as_gray_as_any_picture(
    bench: Bench, options: dict[str, Any], luma_decoded: list[bool]
) -> None:
    """Decoded without its colour it differs from the luma of its colours by rounding alone."""
    source = bench.directory / "source.jpg"
    photograph().write_to_file(str(source), **options)
    colour = pyvips.Image.jpegload(str(source))
    gray = gray_jpeg.load_luma(source, colour, 1)
    assert gray is not None
    assert np.abs(gray.numpy() - luma_of(colour)).max() <= 3
    assert np.abs(gray.numpy() - luma_of(colour)).mean() <= 0.3
    luma_decoded.clear()
    result = bench.filter_file(source, "grayscale", F.JPEG)
    assert luma_decoded == [True]
    assert (result.bands, result.width, result.height) == (1, colour.width, colour.height)
    assert np.abs(result.numpy() - luma_of(colour)).mean() <= 5


def test_a_jpeg_that_holds_red_green_and_blue_has_their_luma(bench: Bench) -> None:
    """Its first channel is none."""
    source = bench.directory / "source.jpg"
    Image.fromarray(photograph().numpy()).save(source, quality=95, keep_rgb=True)
    colour = pyvips.Image.jpegload(str(source))
    gray = gray_jpeg.load_luma(source, colour, 1)
    assert gray is not None
    assert np.abs(gray.numpy() - luma_of(colour)).max() <= 1


@pytest.mark.parametrize("profile", ["srgb", "p3"])
def test_a_jpeg_in_sRGB_needs_no_colour_and_any_other_does(  # noqa: N802
    bench: Bench, profile: str, luma_decoded: list[bool]
) -> None:
    """A profile of sRGB changes nothing; by another, colours are brought there."""
    plain = soft(331, 203)
    image = plain.icc_transform(profile, input_profile="srgb")
    result = bench.filter(image, "grayscale", F.JPEG, Q=100, subsample_mode="off")
    assert any(luma_decoded) == (profile == "srgb")
    assert "icc-profile-data" not in result.get_fields()
    assert np.abs(result.numpy() - luma_of(plain)).mean() <= 3


def test_gray_has_no_profile_of_colour(bench: Bench) -> None:
    """A colour profile is applied before the colour goes, and does not stay on the gray."""
    plain = bench.filter(colourful(), "grayscale").numpy().astype(int)
    wide = colourful().icc_transform("p3", input_profile="srgb")
    result = bench.filter(wide, "grayscale")
    assert "icc-profile-data" not in result.get_fields()
    assert np.abs(result.numpy().astype(int) - plain).max() <= 3


def test_profiles_are_told_by_what_they_mean() -> None:
    """By whichever profile; another is not sRGB, nor is one that is too long to be looked at."""
    colour = colourful()
    srgb, p3 = (
        colour.icc_transform(name, input_profile="srgb").get("icc-profile-data")
        for name in ("srgb", "p3")
    )
    from PIL import ImageCms

    another = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert another != srgb
    assert profiles.is_srgb(srgb)
    assert profiles.is_srgb(another)
    assert not profiles.is_srgb(p3)
    assert not profiles.is_srgb(srgb + bytes(1 << 17))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_gray_jpeg_is_upright(bench: Bench, orientation: int, luma_decoded: list[bool]) -> None:
    """Decoded without its colour, too."""
    image = soft(331, 203).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    result = bench.filter(image, "grayscale", F.JPEG, Q=100)
    assert luma_decoded == [True]
    expected = luma_of(image.autorot())
    assert result.numpy().shape == expected.shape
    assert np.abs(result.numpy() - expected).mean() <= 3
    assert np.array_equal(result.autorot().numpy(), result.numpy())


def test_a_gray_jpeg_keeps_its_credits(bench: Bench, luma_decoded: list[bool]) -> None:
    """What its metadata says goes the same way as with any other picture."""
    image = photograph().copy()
    for name, value in {
        "exif-ifd0-Copyright": "2020 Ada ()",
        "exif-ifd2-BodySerialNumber": "Camera Works 1",
        "exif-ifd3-GPSLatitude": "51/1 30/1 0/1",
    }.items():
        image.set_type(pyvips.GValue.gstr_type, name, value)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta>51.5N</x:xmpmeta>")
    result = bench.filter(image, "grayscale", F.JPEG)
    assert luma_decoded == [True]
    assert result.get("exif-ifd0-Copyright").startswith("2020 Ada")
    content = bench.target.read_bytes()
    assert b"Camera Works" not in content
    assert b"xmpmeta" not in content
    assert not [name for name in result.get_fields() if "GPS" in name]


@pytest.mark.parametrize("pipeline", ["grayscale", "grayscale,thumbnail:size=20"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_half_a_jpeg_does_not_come_back_gray(bench: Bench, pipeline: str, part: float) -> None:
    """The decoder of luma refuses it, and the other says why."""
    source = bench.directory / "half.jpg"
    photograph().write_to_file(str(source))
    source.write_bytes(source.read_bytes()[: int(source.stat().st_size * part)])
    with pytest.raises(DecodeFailed):
        bench.filter_file(source, pipeline, F.JPEG)
    assert not bench.target.exists()


def test_what_the_decoder_of_luma_does_not_take_goes_the_other_way(
    bench: Bench, luma_decoded: list[bool]
) -> None:
    """Inks are brought to sRGB first; what is gray is left as it is."""
    bench.filter(photograph().colourspace("cmyk"), "grayscale", F.JPEG)
    bench.filter(photograph().colourspace("b-w"), "grayscale", F.JPEG)
    assert luma_decoded
    assert not any(luma_decoded)


def test_gray_goes_from_decoder_to_encoder_as_it_goes_through_libvips(bench: Bench) -> None:
    """Whichever of the two encodes it, it has the same pixels, and no metadata."""
    source = bench.directory / "source.jpg"
    photograph().write_to_file(str(source))
    straight = bench.filter_file(source, "grayscale", F.JPEG).copy_memory()
    through = bench.filter_file(source, "grayscale,grayscale", F.JPEG)
    assert np.abs(straight.numpy().astype(int) - through.numpy()).max() <= 1
    assert straight.get_fields() == through.get_fields()


def test_a_huge_jpeg_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line it takes no more memory than any other."""
    monkeypatch.setattr(gray_jpeg, "_MOST_PIXELS", 331 * 203 - 1)
    source = tmp_path / "source.jpg"
    photograph().write_to_file(str(source))
    assert gray_jpeg.load_luma(source, pyvips.Image.jpegload(str(source)), 1) is None


CONFINED = """
import sys
from pathlib import Path
import dpip.worker.child
from dpip.filters.gray_jpeg import as_gray_jpeg
from dpip.filters.libvips import pyvips

originals, room = Path(), Path("room")
dpip.worker.child.confine(room, originals)
source = originals / "source.jpg"
sys.exit(as_gray_jpeg(source, pyvips.Image.jpegload(str(source)), 85, b"") is None)
"""


def test_luma_is_decoded_and_encoded_by_a_process_that_is_confined(tmp_path: Path) -> None:
    """All that it takes has been loaded before."""
    image = soft(64, 48).icc_transform("srgb", input_profile="srgb")
    image.write_to_file(str(tmp_path / "source.jpg"))
    (tmp_path / "room").mkdir()
    tmp_path.chmod(0o711)  # Root's child is another user.
    program = [sys.executable, "-c", CONFINED]
    assert subprocess.run(program, check=False, cwd=tmp_path).returncode == 0
