"""Copyright and artist come back byte for byte, whatever stands in them and whatever the format."""

import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from dpip.filters.exif import read_exif
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import Bench

ARTIST, COPYRIGHT = 315, 33432
CREDITS = {
    "blank": b"    \0",
    "empty": b"\0",
    "zeros": bytes(64),
    "parentheses": b"J. (x) (y) \0",
    "agency": b"A. Person (Agency)\0",
    "utf8": "Zoë Ångström 写真".encode() + b"\0",
    "photographer and editor": b"Ann\0Bob\0",
    "no end": b"Ann of Nowhere",
    "latin-1": "Zoë".encode("latin-1") + b"\0",
    "long": b"Anna" * 5000 + b"\0",
}
PICTURES = {F.JPEG: {"quality": 90}, F.PNG: {}, F.WEBP: {}, F.AVIF: {}}


def exif_of(order: str, *fields: tuple[int, bytes]) -> bytes:
    """An EXIF block with ASCII ``fields``, made without the code that is tested."""
    values = b""
    entries = b""
    at = 8 + 2 + 12 * len(fields) + 4
    for tag, value in fields:
        inline = value.ljust(4, b"\0")
        if len(value) > 4:
            inline = struct.pack(f"{order}L", at + len(values))
            values += value
        entries += struct.pack(f"{order}HHL", tag, 2, len(value)) + inline
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", 8)
    return head + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + values


def credits_in(file: Path) -> dict[int, bytes]:
    """Credits in the EXIF that Pillow finds in ``file``."""
    with Image.open(file) as image:
        block = image.info["exif"]
    exif = read_exif(block)
    assert exif is not None
    found = {tag: field.value for tag, field in exif.directory.items()}
    return {tag: found[tag] for tag in (ARTIST, COPYRIGHT)}  # type: ignore[misc]


def with_exif(bench: Bench, kind: F, exif: bytes) -> Path:
    source = bench.directory / f"source{kind.suffix}"
    picture = Image.new("RGB", (32, 24), (200, 90, 30))
    block = exif if kind is F.PNG else b"Exif\0\0" + exif
    picture.save(source, exif=block, **PICTURES[kind])  # type: ignore[arg-type]
    return source


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", CREDITS)
@pytest.mark.parametrize("kind", PICTURES)
def test_credits_stay_as_they_are(bench: Bench, kind: F, name: str, order: str) -> None:
    """However often the picture is filtered."""
    fields = ((ARTIST, CREDITS[name]), (COPYRIGHT, CREDITS[name]))
    source = with_exif(bench, kind, exif_of(order, *fields))
    assert credits_in(source) == dict(fields)
    for pipeline in ("blur", "grayscale"):
        bench.filter_file(source, pipeline, kind)
        assert credits_in(bench.target) == dict(fields)
        source.write_bytes(bench.target.read_bytes())


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", CREDITS)
def test_credits_of_a_tiff_stay_as_they_are(
    bench: Bench, name: str, order: str, keep: bool
) -> None:
    """They are fields of the TIFF itself, in its byte order."""
    value = CREDITS[name]
    source = bench.directory / "source.tiff"
    fields = {
        256: (3, 1, 2),
        257: (3, 1, 2),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 4000),
        277: (3, 1, 1),
        278: (3, 1, 2),
        279: (4, 1, 4),
        ARTIST: (2, len(value), 5000),
        COPYRIGHT: (2, len(value), 5000),
    }
    entries = b""
    for tag, (kind, count, number) in fields.items():
        code = "H2x" if kind == 3 else "L"
        inline = struct.pack(f"{order}{code}", number)
        if kind == 2 and len(value) <= 4:
            inline = value.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHL", tag, kind, count) + inline
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}LH", 8, len(fields))
    content = (head + entries + bytes(4)).ljust(4000, b"\0") + b"\x10\x20\x30\x40"
    source.write_bytes(content.ljust(5000, b"\0") + value)
    bench.filter_file(source, "flip", F.TIFF, keep_metadata=keep)
    with Image.open(bench.target) as result:
        assert list(result.tobytes()) == [0x20, 0x10, 0x40, 0x30]
        written: Any = result.tag_v2  # type: ignore[attr-defined]
        offset = written._offset
    raw = bench.target.read_bytes()
    (count,) = struct.unpack_from("<H", raw, offset)
    for tag in (ARTIST, COPYRIGHT):
        (entry,) = (
            raw[at : at + 12]
            for at in range(offset + 2, offset + 2 + 12 * count, 12)
            if struct.unpack_from("<H", raw, at) == (tag,)
        )
        length, at = struct.unpack("<LL", entry[4:])
        found = entry[8 : 8 + length] if length <= 4 else raw[at : at + length]
        assert found == value


@pytest.mark.parametrize("kind", [F.PNG, F.WEBP, F.AVIF])
def test_credits_that_are_too_long_for_the_format_harm_nothing_else(bench: Bench, kind: F) -> None:
    """A PNG has room for any; from a WebP or an AVIF they go."""
    source = with_exif(bench, kind, exif_of("<", (ARTIST, b"A" * 70_000 + b"\0")))
    bench.filter_file(source, "flip", kind)
    with Image.open(bench.target) as result:
        assert len(result.getexif().get(ARTIST, "")) == (70_000 if kind is F.PNG else 0)
        shown = result.convert("RGB").getpixel((5, 5))
    assert all(abs(a - b) <= 6 for a, b in zip(shown, (200, 90, 30), strict=True))  # type: ignore


def test_texts_of_a_png_stay_as_they_are(bench: Bench) -> None:
    """Author and copyright in any script; other texts are private, and the place is one of them."""
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Copyright", "© Zoë 写真")
    texts.add_text("Author", "Zoë (Agency)")
    texts.add_text("Comment", "at home")
    source = bench.directory / "source.png"
    Image.new("RGB", (8, 8)).save(source, pnginfo=texts)
    kept = {"Copyright": "© Zoë 写真", "Author": "Zoë (Agency)"}
    for keep in (False, True):
        bench.filter_file(source, "blur", F.PNG, keep_metadata=keep)
        with Image.open(bench.target) as result:
            assert result.text == (kept | {"Comment": "at home"} if keep else kept)  # type: ignore[attr-defined]


def test_what_says_that_colours_are_in_adobe_rgb_stays(bench: Bench) -> None:
    """Cameras say it by the index of interoperability, without a profile."""
    exif = Image.Exif()
    below = exif.get_ifd(0x8769)
    below[0xA001], below[0xA005] = 0xFFFF, {1: "R03", 2: b"0100"}
    source = bench.directory / "source.jpg"
    Image.new("RGB", (32, 24)).save(source, exif=exif)
    bench.filter_file(source, "blur", F.JPEG)
    with Image.open(bench.target) as result:
        kept = result.getexif()
        assert kept.get_ifd(0x8769)[0xA001] == 0xFFFF
        assert kept.get_ifd(0xA005) == {1: "R03", 2: b"0100"}


def test_what_is_not_upright_says_so_no_longer(bench: Bench) -> None:
    """The picture is turned, and its EXIF says that it need not be."""
    source = bench.directory / "source.jpg"
    exif = Image.Exif()
    exif[274] = 6
    exif[ARTIST] = "Ann"
    exif.get_ifd(0x8769)[0xA002] = 32
    Image.new("RGB", (32, 24)).save(source, exif=exif)
    for keep in (False, True):
        bench.filter_file(source, "invert", F.JPEG, keep_metadata=keep)
        with Image.open(bench.target) as result:
            assert result.size == (24, 32)
            assert result.getexif()[274] == 1
            assert result.getexif().get_ifd(0x8769).get(0xA002) == (24 if keep else None)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"II*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 100,
        # A directory that holds itself, and two that hold each other.
        b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHLL", 0x8769, 4, 1, 8) + bytes(4),
        # Values that are all of the block, many times over.
        b"II*\0\x08\0\0\0\0\x10"
        + b"".join(struct.pack("<HHLL", tag, 2, 49_000, 8) for tag in range(4096))
        + bytes(4),
    ],
    ids=["empty", "no offset", "cut off", "beyond", "garbage", "circle", "overlapping"],
)
def test_damaged_exif_is_read_as_far_as_it_goes(block: bytes) -> None:
    """In bounded work, and without an error."""
    exif = read_exif(block)
    if exif is not None:
        values = (field.value for field in exif.directory.values())
        assert sum(len(value) for value in values) <= 1 << 22


def test_a_date_alone_stays(bench: Bench) -> None:
    """Though it stands in a directory below the first, which says nothing else."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2020:02:03 04:05:06"
    source = bench.directory / "source.jpg"
    Image.new("RGB", (32, 24)).save(source, exif=exif)
    for pipeline in ("blur", "grayscale"):
        bench.filter_file(source, pipeline, F.JPEG)
        with Image.open(bench.target) as result:
            assert result.getexif().get_ifd(0x8769)[0x9003] == "2020:02:03 04:05:06"
