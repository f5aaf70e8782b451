"""Every honest result passes the check, and a lie does not."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dpip.errors import InvalidValue
from dpip.filters.libvips import pyvips
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import filtered_header, parse_pipeline
from dpip.filters.result_header import check_result_header
from dpip.formats import read_header
from dpip.model.image import PictureFormat as F
from dpip.model.image import PictureHeader
from tests.unit.formats.pictures import HEIGHT, PICTURES, WIDTH, animated, rotated, scene, to_bytes


def frames_alike(count: int) -> Any:
    tall = pyvips.Image.arrayjoin([scene()] * count, across=1).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", HEIGHT)
    return tall


def gif_screen(width: int, height: int) -> bytes:
    """A GIF whose screen is larger than its image, which some decoders take for a mistake."""
    content = to_bytes(scene(), ".gif")
    sides = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return content[:6] + sides + content[10:]


NO_PIXELS = {"tiff big-endian"}

HONEST: dict[str, tuple[F, Callable[[], bytes]]] = {
    **{
        name: (expected.format, make)
        for name, (make, expected) in PICTURES.items()
        if name not in NO_PIXELS
    },
    **{
        f"{kind} turned {turn}": (
            kind,
            lambda kind=kind, turn=turn: to_bytes(  # type: ignore[misc]
                rotated(turn), kind.suffix
            ),
        )
        for kind in (F.JPEG, F.PNG, F.WEBP, F.TIFF, F.AVIF)
        for turn in range(1, 9)
    },
    "gif of frames alike": (
        F.GIF,
        lambda: to_bytes(frames_alike(4), ".gif", keep_duplicate_frames=True),
    ),
    "webp of frames alike": (F.WEBP, lambda: to_bytes(frames_alike(4), ".webp")),
    "tiff of pages alike": (F.TIFF, lambda: to_bytes(frames_alike(4), ".tif")),
    "tiff of many pages": (F.TIFF, lambda: to_bytes(animated(9), ".tif")),
    "gif of a usual screen": (F.GIF, lambda: gif_screen(640, 480)),
    "gif of a huge screen": (F.GIF, lambda: gif_screen(3000, 20)),
    "avif of odd sides": (F.AVIF, lambda: to_bytes(scene().crop(0, 0, 3, 5), ".avif")),
    "one pixel": (F.PNG, lambda: to_bytes(scene().crop(0, 0, 1, 1), ".png")),
}


def header_in(content: bytes) -> PictureHeader:
    return read_header(io.BytesIO(content))


PIPELINES = [
    "grayscale",
    "blur:sigma=2",
    "blur:sigma=1,grayscale",
    "thumbnail:size=7",
    "thumbnail:size=4096,flip",
    "rotate,invert",
    "grayscale,sharpen,thumbnail:size=16,rotate:angle=270",
]
KEEPS_SIZE = parse_pipeline("blur")


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_result_passes(tmp_path: Path, name: str, pipeline: str) -> None:
    """Of every format, orientation and number of frames, through every filter."""
    kind, make = HONEST[name]
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(make())
    filter_picture(source, target, parse_pipeline(pipeline), kind)
    check_result_header(
        header_in(target.read_bytes()), header_in(source.read_bytes()), parse_pipeline(pipeline)
    )


def test_frames_that_are_alike_are_merged(tmp_path: Path) -> None:
    """Which is why fewer frames are no lie."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(HONEST["gif of frames alike"][1]())
    assert header_in(source.read_bytes()).frames == 4
    filter_picture(source, target, parse_pipeline("blur"), F.GIF)
    assert header_in(target.read_bytes()).frames == 1


@pytest.mark.parametrize("kind", F)
@pytest.mark.parametrize(
    "lie",
    [
        {"width": WIDTH + 1},
        {"height": HEIGHT + 1},
        {"width": HEIGHT, "height": WIDTH + 1},
        {"frames": 4},
        {"format": "another"},
    ],
)
def test_a_lie_does_not_pass(kind: F, lie: dict[str, Any]) -> None:
    """Nothing is larger than its original, has more frames or another format."""
    original = PictureHeader(format=kind, width=WIDTH, height=HEIGHT, frames=3)
    if "format" in lie:
        lie = {"format": F.GIF if kind is F.PNG else F.PNG}
    with pytest.raises(InvalidValue, match="original's"):
        check_result_header(msgspec.structs.replace(original, **lie), original, KEEPS_SIZE)


@pytest.mark.parametrize("kind", [F.JPEG, F.PNG, F.WEBP, F.TIFF])
def test_a_part_of_a_picture_does_not_pass(kind: F) -> None:
    """Where the header says what is seen, the size is that of the original."""
    original = PictureHeader(format=kind, width=WIDTH, height=HEIGHT)
    for lie in ({"width": WIDTH - 1}, {"height": HEIGHT - 1}):
        with pytest.raises(InvalidValue, match=f"{WIDTH} x {HEIGHT}"):
            check_result_header(msgspec.structs.replace(original, **lie), original, KEEPS_SIZE)


@pytest.mark.parametrize("kind", [F.JPEG, F.PNG, F.TIFF, F.AVIF])
def test_a_missing_frame_does_not_pass(kind: F) -> None:
    """Where no saver merges frames."""
    original = PictureHeader(format=kind, width=WIDTH, height=HEIGHT, frames=3)
    with pytest.raises(InvalidValue, match="2 frames"):
        check_result_header(msgspec.structs.replace(original, frames=2), original, KEEPS_SIZE)


@pytest.mark.parametrize("kind", [F.JPEG, F.PNG, F.WEBP, F.TIFF])
@pytest.mark.parametrize("sides", [(400, 300), (100, 74), (100, 76), (99, 75), (75, 75), (75, 99)])
def test_another_size_than_that_of_the_thumbnail_does_not_pass(
    kind: F, sides: tuple[int, int]
) -> None:
    """Nor does the picture that was to be made small."""
    original = PictureHeader(format=kind, width=400, height=300)
    pipeline = parse_pipeline("thumbnail:size=100")
    small = msgspec.structs.replace(original, width=100, height=75)
    check_result_header(small, original, pipeline)
    lie = msgspec.structs.replace(original, width=sides[0], height=sides[1])
    with pytest.raises(InvalidValue, match="100 x 75"):
        check_result_header(lie, original, pipeline)


@pytest.mark.parametrize("kind", [F.GIF, F.AVIF])
def test_a_thumbnail_of_a_part_passes_and_nothing_larger(kind: F) -> None:
    """Where a decoder may show less, whose proportions are its own."""
    original = PictureHeader(format=kind, width=3000, height=120)
    pipeline = parse_pipeline("thumbnail:size=100")
    for sides in ((100, 4), (100, 100), (30, 100)):
        part = msgspec.structs.replace(original, width=sides[0], height=sides[1])
        check_result_header(part, original, pipeline)
    for sides in ((101, 4), (4, 101), (3000, 120)):
        lie = msgspec.structs.replace(original, width=sides[0], height=sides[1])
        with pytest.raises(InvalidValue, match="100 x 4"):
            check_result_header(lie, original, pipeline)


def test_a_quarter_turn_swaps_the_sides() -> None:
    """And what comes after it goes by that."""
    header = PictureHeader(format=F.PNG, width=40, height=30)
    for angle, sides in ((90, (30, 40)), (180, (40, 30)), (270, (30, 40))):
        turned = filtered_header(parse_pipeline(f"rotate:angle={angle}"), header)
        assert (turned.width, turned.height) == sides
    small = filtered_header(parse_pipeline("rotate,thumbnail:size=20"), header)
    assert (small.width, small.height) == (15, 20)
