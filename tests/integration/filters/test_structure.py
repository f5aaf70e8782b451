"""What a file holds beside one picture: kept, refused by name, or left out and said so."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dpip.errors import UnsupportedPicture
from dpip.filters.failures import DecodeFailed
from dpip.filters.frames import frame_count
from dpip.filters.libvips import pyvips
from dpip.formats import read_header
from dpip.model.image import PictureFormat as F
from dpip.model.note import Note
from tests.integration.filters.layouts import (
    FRAMES,
    HEIGHT,
    LAYOUTS,
    WIDTH,
    by_pillow,
    photograph,
)
from tests.integration.filters.pictures import Bench

COMPRESSION, TILE_SIZES, STRIP_SIZES = 259, 325, 279
ZSTANDARD, LERC, JPEG_2000, NOBODYS = 50000, 34887, 34712, 4711


def filtered(bench: Bench, content: bytes, kind: F, pipeline: str = "flip,flip") -> Any:
    """The first frame of the result."""
    source = bench.directory / "source"
    source.write_bytes(content)
    assert read_header(io.BytesIO(content)).format is kind
    bench.filter_file(source, pipeline, kind)
    return np.asarray(Image.open(bench.target))


def tiff(*pages: tuple[Any, dict[str, Any]]) -> bytes:
    target = io.BytesIO()
    with tifffile.TiffWriter(target) as writer:
        for pixels, options in pages:
            writer.write(pixels, **{"photometric": "rgb", **options})
    return target.getvalue()


def with_field(content: bytes, tag: int, change: Callable[[bytearray, int], None]) -> bytes:
    """A little-endian TIFF with the field ``tag`` of its first page changed."""
    patched = bytearray(content)
    (directory,) = struct.unpack_from("<L", patched, 4)
    (count,) = struct.unpack_from("<H", patched, directory)
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from("<H", patched, at) == (tag,):
            change(patched, at)
    return bytes(patched)


def in_compression(code: int) -> Callable[[bytearray, int], None]:
    return lambda content, at: struct.pack_into("<H", content, at + 8, code)


BIG, SMALL = photograph(), np.ascontiguousarray(photograph()[::2, ::2])
SENSOR = photograph(1)[..., 0]


@pytest.mark.parametrize("code", [ZSTANDARD, LERC, JPEG_2000, NOBODYS])
@pytest.mark.parametrize("blocks", ["strips", "tiles"])
def test_a_tiff_in_a_compression_that_is_missing_is_refused(
    bench: Bench, blocks: str, code: int
) -> None:
    """By its name, or its number where it has none; no tile comes back black."""
    content = LAYOUTS[f"tiff lzw {blocks} 3 x 8"][1]()
    with pytest.raises(DecodeFailed, match=r"ZSTD|LERC|34712|4711"):
        filtered(bench, with_field(content, COMPRESSION, in_compression(code)), F.TIFF)


@pytest.mark.parametrize("blocks", ["strips", "tiles"])
def test_a_tiff_with_an_empty_block_is_refused(bench: Bench, blocks: str) -> None:
    """Nobody knows what its pixels were."""

    def emptied(content: bytearray, at: int) -> None:
        kind, _, place = struct.unpack_from("<HLL", content, at + 2)
        struct.pack_into("<H" if kind == 3 else "<L", content, place, 0)

    content = tiff(
        (
            BIG,
            {
                "compression": "zlib",
                **({"tile": (32, 32)} if blocks == "tiles" else {}),
                "rowsperstrip": 16 if blocks == "strips" else None,
            },
        )
    )
    tag = TILE_SIZES if blocks == "tiles" else STRIP_SIZES
    with pytest.raises(DecodeFailed):
        filtered(bench, with_field(content, tag, emptied), F.TIFF)


@pytest.mark.parametrize("mark", [{"subfiletype": 1}, {"extratags": [(255, 3, 1, 2, True)]}])
@pytest.mark.parametrize("first", [True, False])
def test_a_smaller_version_of_a_page_is_passed_over(
    bench: Bench, first: bool, mark: dict[str, Any]
) -> None:
    """Marked in the new way or the old, before its page or behind it."""
    pages = [(SMALL, mark), (BIG, {})] if first else [(BIG, {}), (SMALL, mark)]
    assert np.array_equal(filtered(bench, tiff(*pages), F.TIFF), BIG)
    assert bench.notes == (Note.PREVIEWS_DROPPED,)


def test_pages_among_smaller_versions_are_kept(bench: Bench) -> None:
    """All of them, however each is laid out."""
    others = [photograph(seed=seed) for seed in (1, 2)]
    content = tiff(
        (others[0], {"compression": "zlib"}),
        (SMALL, {"subfiletype": 1}),
        (others[1], {"tile": (32, 32)}),
    )
    filtered(bench, content, F.TIFF)
    result = Image.open(bench.target)
    for number, pixels in enumerate(others):
        result.seek(number)
        assert np.array_equal(np.asarray(result), pixels)
    assert (bench.header.frames if bench.header else 0) == getattr(result, "n_frames", 1) == 2
    assert read_header(io.BytesIO(content)).frames == 2


def test_pages_are_turned_each_by_its_own_orientation(bench: Bench) -> None:
    """If they are of one size then."""
    upside_down = {"extratags": [(274, 3, 1, 3, True)]}
    filtered(bench, tiff((BIG, {}), (BIG[::-1, ::-1], upside_down)), F.TIFF)
    result = Image.open(bench.target)
    for number in range(2):
        result.seek(number)
        assert np.array_equal(np.asarray(result), BIG)
    on_its_side = {"extratags": [(274, 3, 1, 6, True)]}
    with pytest.raises(DecodeFailed, match="several sizes"):
        filtered(bench, tiff((BIG, {}), (BIG, on_its_side)), F.TIFF)


def test_a_mask_of_a_page_is_passed_over(bench: Bench) -> None:
    """It is no picture."""
    content = tiff((BIG, {}), (SENSOR > 99, {"photometric": "mask", "subfiletype": 4}))
    assert np.array_equal(filtered(bench, content, F.TIFF), BIG)
    assert bench.notes == (Note.MASKS_DROPPED,)


def test_a_page_that_is_marked_as_small_and_is_alone_is_the_picture(bench: Bench) -> None:
    """Nothing else is there."""
    assert np.array_equal(filtered(bench, tiff((BIG, {"subfiletype": 1})), F.TIFF), BIG)
    assert bench.notes == ()


def test_smaller_versions_below_a_page_are_nothing_to_tell(bench: Bench) -> None:
    """A pyramid has its levels in sub-directories."""
    content = tiff((BIG, {"subifds": 1}), (SMALL, {"subfiletype": 1}))
    assert np.array_equal(filtered(bench, content, F.TIFF), BIG)


def test_pages_of_several_sizes_are_refused_in_a_sentence() -> None:
    """As is a gray page behind one in colour."""
    others: list[tuple[Any, dict[str, Any]]] = [
        (SMALL, {}),
        (SENSOR, {"photometric": "minisblack"}),
    ]
    for other in others:
        with pytest.raises(UnsupportedPicture, match="its pages differ: page 1 has 96 x 72"):
            read_header(io.BytesIO(tiff((BIG, {}), other)))


RAW = {
    "sensor": tiff((SENSOR, {"photometric": "cfa"})),
    "sensor behind a preview": tiff(
        (SMALL, {"subfiletype": 1, "subifds": 1}), (SENSOR, {"photometric": "cfa"})
    ),
    "linear behind a preview": tiff(
        (SMALL, {"subfiletype": 1, "subifds": 1}), (BIG, {"photometric": "linear_raw"})
    ),
    "sensor on a later page": tiff((SMALL, {}), (SENSOR, {"photometric": "cfa"})),
    "picture behind a preview": tiff((SMALL, {"subfiletype": 1, "subifds": 1}), (BIG, {})),
    "picture behind an unmarked preview": tiff((SMALL, {"subifds": 1}), (BIG, {})),
    "dng": tiff((BIG, {"extratags": [(50706, 1, 4, b"\1\4\0\0", True)]})),
    "cr2": b"II*\0\x10\0\0\0CR\2\0" + tiff((BIG, {}))[12:],
}


@pytest.mark.parametrize("name", RAW)
def test_a_camera_raw_file_is_refused_by_name(name: str) -> None:
    """Its preview is never taken for the picture."""
    with pytest.raises(UnsupportedPicture, match="camera raw file"):
        read_header(io.BytesIO(RAW[name]))


def before(content: bytes, marker: bytes, stray: bytes) -> bytes:
    at = content.index(marker)
    return content[:at] + stray + content[at:]


@pytest.mark.parametrize("pipeline", ["grayscale", "flip,flip", "thumbnail:size=20"])
@pytest.mark.parametrize("stray", [b"\1\2\3", b"\1\xff\0\2", b"\xff" * 9])
@pytest.mark.parametrize("marker", [b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xd9"])
def test_bytes_between_the_segments_of_a_jpeg_are_passed_over(
    bench: Bench, marker: bytes, stray: bytes, pipeline: str
) -> None:
    """As decoders have it, which look for the next marker."""
    content = LAYOUTS["jpeg"][1]()
    expected = filtered(bench, content, F.JPEG, pipeline)
    assert np.array_equal(
        filtered(bench, before(content, marker, stray), F.JPEG, pipeline), expected
    )


@pytest.mark.parametrize("pipeline", ["thumbnail:size=8", "grayscale,thumbnail:size=8"])
def test_a_thumbnail_of_a_lossless_jpeg_is_of_the_whole_picture(
    bench: Bench, pipeline: str
) -> None:
    """Which no decoder can shrink on the way."""
    content = LAYOUTS["jpeg lossless"][1]()
    whole = Image.open(io.BytesIO(content)).convert("L").resize((8, 6), Image.Resampling.BOX)
    seen = Image.fromarray(filtered(bench, content, F.JPEG, pipeline)).convert("L")
    assert np.abs(np.asarray(seen, float) - np.asarray(whole, float)).max() < 16


def test_a_jpeg_without_its_end_is_refused(bench: Bench) -> None:
    """Also where gray is all that is asked for."""
    for layout in ("jpeg", "jpeg gray", "jpeg progressive"):
        for pipeline in ("grayscale", "invert"):
            with pytest.raises(DecodeFailed, match="cut off"):
                filtered(bench, LAYOUTS[layout][1]()[:-2], F.JPEG, pipeline)


def with_segment(content: bytes, marker: int, payload: bytes) -> bytes:
    segment = struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
    return content[:2] + segment + content[2:]


def multi_picture(*kinds: int) -> bytes:
    """The index of a file of several pictures, the first of which is the one that it is in."""
    entries = b"".join(struct.pack(">LLLHH", kind, 9, 0, 0, 0) for kind in kinds)
    field = struct.pack(">HHLL", 0xB002, 7, len(entries), 26)
    return b"MPF\0MM\0*" + struct.pack(">LH", 8, 1) + field + bytes(4) + entries


@pytest.mark.parametrize(
    ("marker", "payload", "note"),
    [
        (0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>', Note.GAIN_MAP_DROPPED),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0", Note.GAIN_MAP_DROPPED),
        (0xE1, b'http://ns.adobe.com/xap/1.0/\0<x a:MotionPhoto="1"/>', Note.VIDEO_DROPPED),
        (0xE2, multi_picture(0x030000, 0x020002), Note.FRAMES_DROPPED),
        (0xE2, multi_picture(0x030000, 0x010001), None),
        (0xE2, b"MPF\0MM\0*\xff\xff\xff\xff", None),
    ],
)
def test_what_lies_beside_a_jpeg_is_said(
    bench: Bench, marker: int, payload: bytes, note: Note | None
) -> None:
    """A gain map, a video, a second view; a large thumbnail is nothing to tell."""
    content = with_segment(LAYOUTS["jpeg"][1](), marker, payload)
    filtered(bench, content, F.JPEG)
    assert bench.notes == ((note,) if note else ())


def test_a_gain_map_that_only_its_own_picture_tells_of_is_said(bench: Bench) -> None:
    """As phones of Apple have it."""
    content = with_segment(LAYOUTS["jpeg"][1](), 0xE2, multi_picture(0x030000, 0))
    offset = len(content) - content.index(b"MPF\0") - 4
    at = content.index(struct.pack(">LLLHH", 0, 9, 0, 0, 0)) + 8
    content = content[:at] + struct.pack(">L", offset) + content[at + 4 :]
    filtered(bench, content + b"\xff\xd8urn:com:apple:photo:2020:aux:hdrgainmap\xff\xd9", F.JPEG)
    assert bench.notes == (Note.GAIN_MAP_DROPPED,)


@pytest.mark.parametrize("kind", [F.GIF, F.WEBP])
def test_an_animation_keeps_its_frames_and_its_timing(bench: Bench, kind: F) -> None:
    """Of a GIF and a WebP, nothing is left out."""
    made = by_pillow(kind.value, frames=FRAMES, loop=3)()
    filtered(bench, made, kind, "blur:sigma=1")
    result = Image.open(bench.target)
    delays = []
    for number in range(getattr(result, "n_frames", 1)):
        result.seek(number)
        result.load()
        delays.append(result.info["duration"])
    assert (delays, result.info["loop"], bench.notes) == ([50] * FRAMES, 3, ())


def test_more_frames_than_libvips_counts_stay_apart() -> None:
    """It takes an image of 10,000 frames for one tall picture."""
    image = pyvips.Image.black(1, 12_000).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", 1)
    image.set_type(pyvips.GValue.gint_type, "n-pages", 12_000)
    assert (image.get_n_pages(), frame_count(image)) == (1, 12_000)


def test_a_webp_behind_a_large_profile_stays_lossless(bench: Bench) -> None:
    """However far in the file its pixels begin."""
    target = io.BytesIO()
    picture = Image.fromarray(BIG)
    picture.save(target, "WEBP", lossless=True, icc_profile=bytes(200_000))
    assert np.array_equal(filtered(bench, target.getvalue(), F.WEBP), BIG)


@pytest.mark.parametrize("behind", [b"abc" * 30, bytes(1000)])
@pytest.mark.parametrize("layout", ["jpeg", "png", "webp", "webp animated"])
def test_what_follows_a_picture_is_not_looked_at(bench: Bench, layout: str, behind: bytes) -> None:
    """Programs append what they like."""
    kind, make = LAYOUTS[layout]
    assert filtered(bench, make() + behind, kind).shape[:2] == (HEIGHT, WIDTH)
