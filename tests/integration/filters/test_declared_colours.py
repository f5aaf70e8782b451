"""Colours that are declared without a profile stay declared, or are brought to what is declared."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from dpip.filters import cicp
from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat as F
from dpip.model.note import Note
from tests.integration.filters.pictures import Bench, colourful

P3, LINEAR, PQ, HLG = (12, 13), (1, 8), (9, 16), (9, 18)
COLOUR = (200, 60, 30)
GAMMA_1 = (b"gAMA", struct.pack(">L", 100_000))
ADOBE_RGB = [
    (b"gAMA", struct.pack(">L", 45_455)),
    (b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
]
SRGB = [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">L", 45_455))]
WEIGHTS = np.array([0.299, 0.587, 0.114])


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", checksum)


def png(file: Path, chunks: list[tuple[bytes, bytes]], colour: tuple[int, ...] = COLOUR) -> Path:
    """A PNG of one colour, with ``chunks`` in front of its pixels."""
    kind = {1: 0, 3: 2, 4: 6}[len(colour)]
    row = b"\0" + bytes(colour) * 16
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">LLBBBBB", 16, 16, 8, kind, 0, 0, 0))
        + b"".join(chunk(*each) for each in chunks)
        + chunk(b"IDAT", zlib.compress(row * 16))
        + chunk(b"IEND", b"")
    )
    return file


def chunks_of(file: Path) -> list[tuple[bytes, bytes]]:
    """All chunks in front of the pixels, but the header and the resolution."""
    content, at = file.read_bytes(), 8
    found: list[tuple[bytes, bytes]] = []
    while True:
        length, kind = struct.unpack_from(">L4s", content, at)
        if kind == b"IDAT":
            return [each for each in found if each[0] not in (b"IHDR", b"pHYs")]
        found.append((kind, content[at + 8 : at + 8 + length]))
        at += length + 12


def avif(file: Path, code_points: tuple[int, int], image: Any = None) -> Path:
    """An AVIF that declares ``code_points``; Pillow declares those of sRGB."""
    picture = Image.new("RGB", (64, 48), COLOUR) if image is None else Image.fromarray(image)
    encoded = io.BytesIO()
    picture.save(encoded, "AVIF", quality=98, subsampling="4:4:4")
    content = encoded.getvalue()
    at = content.index(b"colrnclx") + 8
    assert struct.unpack_from(">HH", content, at) == (1, 13)
    file.write_bytes(content[:at] + struct.pack(">HH", *code_points) + content[at + 4 :])
    return file


def nclx_of(file: Path) -> tuple[int, ...] | None:
    content = file.read_bytes()
    at = content.find(b"colrnclx")
    return None if at < 0 else struct.unpack_from(">HH", content, at + 8)


def seen_by(profile: bytes, colour: tuple[int, ...]) -> tuple[int, ...]:
    """``colour`` in sRGB, as LittleCMS has it through Pillow."""
    declared = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    pixel = Image.new("RGB", (1, 1), colour)
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(pixel, declared, srgb).getpixel((0, 0))  # type: ignore


@pytest.mark.parametrize("pipeline", ["invert", "blur", "sharpen", "thumbnail:size=8", "rotate"])
@pytest.mark.parametrize(
    "chunks",
    [
        [GAMMA_1],
        ADOBE_RGB,
        SRGB,
        [(b"cICP", bytes([9, 16, 0, 1])), (b"mDCV", bytes(24)), (b"cLLI", bytes(8))],
        [(b"cICP", bytes([12, 13, 0, 1]))],
    ],
)
def test_a_png_declares_what_it_did(
    bench: Bench, chunks: list[tuple[bytes, bytes]], pipeline: str
) -> None:
    """By the same chunks, and its values are of that."""
    result = bench.filter_file(png(bench.directory / "source.png", chunks), pipeline, F.PNG)
    assert chunks_of(bench.target) == chunks
    inverted = tuple(255 - each for each in COLOUR)
    assert result(3, 3) == list(inverted if pipeline == "invert" else COLOUR)


def test_a_png_in_linear_light_turns_as_gray_as_it_is_seen(bench: Bench) -> None:
    """Its values are brought to sRGB, and no longer declared to be linear."""
    light = np.array(COLOUR) / 255
    seen = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    for colour in (COLOUR, (*COLOUR, 128)):
        source = png(bench.directory / "source.png", [GAMMA_1], colour)
        result = bench.filter_file(source, "grayscale", F.PNG)
        assert result(3, 3)[0] == pytest.approx(seen @ WEIGHTS * 255, abs=1)
        assert chunks_of(bench.target) == []


@pytest.mark.parametrize(
    ("chunks", "gray"),
    [
        (ADOBE_RGB, 107),  # Adobe RGB is (235, 58, 18) in sRGB, by LittleCMS with its profile.
        (SRGB, COLOUR @ WEIGHTS),
        ([(b"cICP", bytes([12, 13, 0, 1]))], 90),  # Display P3 is (218, 42, 9).
        ([(b"gAMA", bytes(4))], COLOUR @ WEIGHTS),
    ],
)
def test_a_png_of_other_colours_turns_as_gray_as_it_is_seen(
    bench: Bench, chunks: list[tuple[bytes, bytes]], gray: float
) -> None:
    """By the luma of what it is in sRGB."""
    source = png(bench.directory / "source.png", chunks)
    assert bench.filter_file(source, "grayscale", F.PNG)(3, 3)[0] == pytest.approx(gray, abs=1)


def test_gray_declares_what_it_did(bench: Bench) -> None:
    """Gray in linear light is not in colour, and stays what it is."""
    for pipeline in ("grayscale", "blur"):
        source = png(bench.directory / "source.png", [GAMMA_1], (128,))
        assert bench.filter_file(source, pipeline, F.PNG)(3, 3) == [128]
        assert chunks_of(bench.target) == [GAMMA_1]


@pytest.mark.parametrize("code_points", [P3, LINEAR, PQ, HLG])
@pytest.mark.parametrize("pipeline", ["invert", "blur", "sharpen", "thumbnail:size=16", "rotate"])
def test_an_avif_declares_what_it_did(
    bench: Bench, pipeline: str, code_points: tuple[int, int]
) -> None:
    """And Pillow, with another decoder, finds the colours that libvips does."""
    result = bench.filter_file(avif(bench.directory / "a.avif", code_points), pipeline, F.AVIF)
    assert nclx_of(bench.target) == code_points
    with Image.open(bench.target) as shown:
        assert shown.size == (result.width, result.height)
        pixel = np.array(shown.convert("RGB"))[8, 8].astype(int)
    assert np.abs(pixel - result(8, 8)).max() <= 3
    wanted = 255 - np.array(COLOUR) if pipeline == "invert" else np.array(COLOUR)
    assert np.abs(pixel - wanted).max() <= 5


def test_an_avif_has_metadata_beside_its_code_points(bench: Bench) -> None:
    """Both are put into one file, and it can be read."""
    exif = Image.Exif()
    exif[315] = "Ann"
    image = np.asarray(colourful().numpy())
    source = avif(bench.directory / "a.avif", P3, image)
    with Image.open(source) as picture:
        encoded = io.BytesIO()
        picture.save(encoded, "AVIF", quality=98, subsampling="4:4:4", exif=exif)
    content = encoded.getvalue()
    at = content.index(b"colrnclx") + 8
    source.write_bytes(content[:at] + struct.pack(">HH", *P3) + content[at + 4 :])
    bench.filter_file(source, "flip", F.AVIF)
    assert nclx_of(bench.target) == P3
    with Image.open(bench.target) as result:
        assert result.getexif()[315] == "Ann"
        shown = np.array(result.convert("RGB")).astype(int)
    assert np.abs(shown - np.fliplr(image)).mean() <= 4


@pytest.mark.parametrize("code_points", [P3, LINEAR])
def test_an_avif_turns_as_gray_as_it_is_seen(bench: Bench, code_points: tuple[int, int]) -> None:
    """Brought to sRGB, which nothing need declare."""
    source = avif(bench.directory / "a.avif", code_points)
    colours = cicp.Cicp(*code_points).colours
    assert colours is not None
    profile = cicp.profile_of(colours)
    assert profile is not None
    gray = np.array(seen_by(profile, COLOUR)) @ WEIGHTS
    assert bench.filter_file(source, "grayscale", F.AVIF)(8, 8)[0] == pytest.approx(gray, abs=4)
    assert nclx_of(bench.target) is None


@pytest.mark.parametrize("code_points", [PQ, HLG])
def test_gray_of_hdr_stays_hdr(bench: Bench, code_points: tuple[int, int]) -> None:
    """By the weights of BT.2100, and as bright as it was."""
    result = bench.filter_file(avif(bench.directory / "a.avif", code_points), "grayscale", F.AVIF)
    gray = np.array(COLOUR) @ [0.2627, 0.678, 0.0593]
    assert result(8, 8)[0] == pytest.approx(gray, abs=4)
    assert nclx_of(bench.target) == code_points


def test_profiles_that_are_made_say_what_others_do() -> None:
    """Those of Display P3 and sRGB give the colours that libvips' own profiles do."""
    for points, name in ((P3, "p3"), ((1, 13), "srgb")):
        colours = cicp.Cicp(*points).colours
        assert colours is not None
        profile = cicp.profile_of(colours)
        assert profile is not None
        image = colourful()
        named = image.icc_transform("srgb", input_profile=name)
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        made = image.icc_transform("srgb", embedded=True)
        assert (made - named).abs().max() <= 2


def test_no_profile_is_made_of_impossible_colours() -> None:
    """Primaries on one line, or without light."""
    for chromaticities in ((0.0,) * 8, (0.3,) * 8, (0.3127, 0.329, *(0.5,) * 6)):
        colours = cicp.colours_of_gamma(1.0, chromaticities)
        assert cicp.profile_of(colours) is None
    assert cicp.Cicp(200, 13).colours is None
    assert cicp.Cicp(*PQ).colours is None


def profile_for(interpretation: str) -> bytes:
    """A profile of colours of that kind."""
    image = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    kind = {"cmyk": "cmyk", "srgb": "p3"}[interpretation]
    return bytes(image.icc_transform(kind, input_profile="srgb").get("icc-profile-data"))


@pytest.mark.parametrize("pipeline", ["grayscale", "invert", "blur", "flip", "thumbnail:size=8"])
@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("CMYK", profile_for("srgb")),
        ("RGB", profile_for("cmyk")),
        ("L", profile_for("srgb")),
        ("RGB", profile_for("srgb")[:200]),
        ("RGB", b"no profile at all"),
    ],
    ids=["of RGB on inks", "of inks on RGB", "of RGB on gray", "cut off", "none"],
)
def test_a_profile_that_does_not_fit_is_ignored_and_said(
    bench: Bench, mode: str, profile: bytes, pipeline: str
) -> None:
    """By every filter, and the result is what it is without."""
    picture = Image.fromarray(colourful().numpy()).convert(mode)
    source = bench.directory / "source.jpg"
    picture.save(source)
    plain = bench.filter_file(source, pipeline, F.JPEG).numpy()
    picture.save(source, icc_profile=profile)
    result = bench.filter_file(source, pipeline, F.JPEG)
    assert bench.notes == (Note.PROFILE_IGNORED,)
    assert not result.get_typeof("icc-profile-data")
    # Gray of what has no profile is decoded without its colour, which rounds otherwise.
    assert np.abs(result.numpy().astype(int) - plain).max() <= (pipeline == "grayscale")
