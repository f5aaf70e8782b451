"""What a file holds beside its first picture, by its structure alone."""

import io
import struct
import zlib

import pytest

from dpip.formats.avif_losses import avif_losses
from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.formats.png import png_losses
from dpip.formats.tiff import read_pages
from dpip.formats.tiff_blocks import check_blocks
from dpip.model.note import Note
from tests.hostile import box, png
from tests.unit.formats.pictures import animated, scene, to_bytes

FRAMES, GAIN_MAP, DEPTH_MAP = (
    [Note.FRAMES_DROPPED],
    [Note.GAIN_MAP_DROPPED],
    [Note.DEPTH_MAP_DROPPED],
)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    checksum = struct.pack(">L", zlib.crc32(kind + content))
    return struct.pack(">L", len(content)) + kind + content + checksum


def item(number: int, kind: bytes, hidden: bool = False) -> bytes:
    return box(b"infe", struct.pack(">B2xBH2x4sx", 2, hidden, number, kind))


def reference(kind: bytes, origin: int, *targets: int) -> bytes:
    numbers = struct.pack(f">HH{len(targets)}H", origin, len(targets), *targets)
    return box(kind, numbers)


def items(*infos: bytes, references: bytes = b"", properties: bytes = b"") -> bytes:
    content = box(b"iinf", struct.pack(">4xH", len(infos)) + b"".join(infos))
    content += box(b"iref", bytes(4) + references)
    content += box(b"iprp", box(b"ipco", properties))
    return box(b"ftyp", b"avif") + box(b"meta", bytes(4) + content)


def track(samples: int) -> bytes:
    sizes = box(b"stsz", struct.pack(">4xLL", 9, samples))
    return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", sizes)))))


AVIFS = {
    "one image": (items(item(1, b"av01")), []),
    "image and thumbnail": (
        items(item(1, b"av01"), item(2, b"av01"), references=reference(b"thmb", 2, 1)),
        [],
    ),
    "image and alpha": (
        items(item(1, b"av01"), item(2, b"av01"), references=reference(b"auxl", 2, 1)),
        [],
    ),
    "grid of tiles": (
        items(
            item(1, b"grid"),
            item(2, b"av01"),
            item(3, b"av01"),
            references=reference(b"dimg", 1, 2, 3),
        ),
        [],
    ),
    "hidden image": (items(item(1, b"av01"), item(2, b"av01", hidden=True)), []),
    "two images": (items(item(1, b"av01"), item(2, b"av01")), FRAMES),
    "gain map": (
        items(
            item(1, b"av01"),
            item(2, b"av01", hidden=True),
            item(3, b"tmap"),
            references=reference(b"dimg", 3, 1, 2),
        ),
        GAIN_MAP,
    ),
    "gain map of a phone": (
        items(
            item(1, b"av01"),
            properties=box(b"auxC", bytes(4) + b"urn:com:apple:photo:2020:aux:hdrgainmap\0"),
        ),
        GAIN_MAP,
    ),
    "depth": (
        items(
            item(1, b"av01"),
            properties=box(b"auxC", bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0"),
        ),
        DEPTH_MAP,
    ),
    "sequence": (items(item(1, b"av01")) + track(3), FRAMES),
    "sequence of one": (items(item(1, b"av01")) + track(1), []),
}


@pytest.mark.parametrize("name", AVIFS)
def test_what_an_avif_holds_beside_its_primary_image_is_known(name: str) -> None:
    """Thumbnails, opacity and the tiles of a grid are nothing beside it."""
    content, notes = AVIFS[name]
    assert avif_losses(ByteReader(io.BytesIO(content))) == notes


@pytest.mark.parametrize("name", AVIFS)
def test_an_avif_that_is_cut_off_is_known(name: str) -> None:
    """By its last byte."""
    with pytest.raises(Malformed):
        avif_losses(ByteReader(io.BytesIO(AVIFS[name][0][:-1])))


def test_boxes_within_boxes_have_an_end() -> None:
    """Before Python's stack does."""
    content = b""
    for _ in range(3000):
        content = box(b"trak", content)
    with pytest.raises(Malformed, match="nested"):
        avif_losses(ByteReader(io.BytesIO(box(b"moov", content))))


PIXELS, FRAME, MORE = chunk(b"IDAT", b"x"), chunk(b"fcTL", b"1"), chunk(b"fdAT", b"2")
ANIMATION = chunk(b"acTL", bytes(8))


@pytest.mark.parametrize(
    ("chunks", "notes"),
    [
        ([PIXELS], []),
        ([ANIMATION, FRAME, PIXELS], []),
        ([ANIMATION, FRAME, PIXELS, FRAME, MORE], FRAMES),
        ([ANIMATION, PIXELS, FRAME, MORE], FRAMES),
        ([chunk(b"tEXt", bytes(9000)), ANIMATION, FRAME, PIXELS, FRAME, MORE], FRAMES),
    ],
)
def test_the_frames_of_a_png_behind_its_picture_are_known(
    chunks: list[bytes], notes: list[Note]
) -> None:
    """Whether or not its picture is the first of them, and whatever comes before."""
    for behind in (b"", b"behind"):
        content = png(1, 1, *chunks) + behind
        assert png_losses(ByteReader(io.BytesIO(content))) == notes


def test_a_damaged_frame_of_a_png_is_known() -> None:
    """Although it is not filtered: what is wrong there may be wrong anywhere."""
    damaged = MORE[:-1] + b"?"
    content = png(1, 1, ANIMATION, FRAME, PIXELS, FRAME, damaged)
    with pytest.raises(Malformed, match="checksum"):
        png_losses(ByteReader(io.BytesIO(content)))


def test_the_checksum_of_a_deflated_block_holds() -> None:
    """Decoders of TIFFs end before it."""
    for image in (scene(), animated(2)):
        content = to_bytes(image, ".tif", compression="deflate")
        reader = ByteReader(io.BytesIO(content))
        check_blocks(reader, read_pages(reader).kept)
        at = content.index(b"\x78", 8)
        damaged = content[: at + 40] + bytes([content[at + 40] ^ 1]) + content[at + 41 :]
        reader = ByteReader(io.BytesIO(damaged))
        with pytest.raises(Malformed, match="strip"):
            check_blocks(reader, read_pages(reader).kept)
