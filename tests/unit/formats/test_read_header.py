import io
import struct
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpip.errors import UnsupportedPicture
from dpip.formats import read_header
from tests.unit.formats.pictures import PICTURES


@cache
def picture(name: str) -> bytes:
    return PICTURES[name][0]()


def refused(content: bytes) -> str:
    with pytest.raises(UnsupportedPicture) as caught:
        read_header(io.BytesIO(content))
    return str(caught.value)


@pytest.mark.parametrize("name", PICTURES)
def test_every_variant_is_read(name: str) -> None:
    """Format, size, frames, channels and depth are those that were written."""
    assert read_header(io.BytesIO(picture(name))) == PICTURES[name][1]


@given(name=st.sampled_from(sorted(PICTURES)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    """Whatever is cut off or flipped, nothing but UnsupportedPicture is raised."""
    content = bytearray(picture(name)[: data.draw(st.integers(0, len(picture(name))), label="cut")])
    for _ in range(data.draw(st.integers(0, 8), label="flips") if content else 0):
        at = data.draw(st.integers(0, min(len(content), 400) - 1), label="at")
        content[at] = data.draw(st.integers(0, 255), label="byte")
    try:
        header = read_header(io.BytesIO(bytes(content)))
    except UnsupportedPicture:
        return
    assert min(header.width, header.height, header.frames) >= 1


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_cut_off_within_its_first_bytes_is_refused(name: str) -> None:
    """There is no header in half a header."""
    refused(picture(name)[:20])


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.7", b"<svg/>", bytes(1000)])
def test_what_is_no_picture_is_refused_naming_the_formats(content: bytes) -> None:
    """The refusal says which formats there are."""
    assert "JPEG, PNG, WEBP, GIF, TIFF, AVIF" in refused(content)


def test_no_pixels_are_refused() -> None:
    """A width or height of zero is no picture."""
    png = bytearray(picture("png"))
    png[16:20] = bytes(4)
    assert "0 x 23 pixels" in refused(bytes(png))


def test_a_tiff_whose_pages_go_round_in_circles_is_refused() -> None:
    """The chain of directories has to have an end."""
    content = bytearray(picture("tiff big-endian"))
    content[-4:] = struct.pack(">L", 8)
    assert "no end" in refused(bytes(content))


def test_a_gif_of_endless_blocks_is_refused() -> None:
    """The walk over blocks is bounded."""
    start = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"\x21\xfe"
    assert "too long" in refused(start + b"\x01\x00\x21\xfe\x01" * 1_000_000)


def test_boxes_that_claim_more_than_there_is_are_refused() -> None:
    """Lengths are checked against the bytes that are there."""
    avif = picture("avif")
    at = avif.index(b"ispe") - 4
    refused(avif[:at] + b"\xff\xff\xff\xff" + avif[at + 4 :])


def test_another_media_file_is_no_avif() -> None:
    """A video in the same container is refused."""
    assert "no AVIF" in refused(
        struct.pack(">L4s4sL4s", 20, b"ftyp", b"isom", 0, b"mp42") + bytes(99)
    )


def test_a_pixel_bomb_is_read_for_what_it_declares() -> None:
    """The declared size is reported without a look at the pixels."""
    png = bytearray(picture("png"))
    png[16:24] = struct.pack(">LL", 100_000, 100_000)
    assert read_header(io.BytesIO(bytes(png[:100]))).pixels == 10_000_000_000
