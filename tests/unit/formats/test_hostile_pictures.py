"""Headers of pictures that were made to do harm, or have come to harm."""

import contextlib
import io

import pytest

from dpip.cli.mutations import mutations
from dpip.errors import UnsupportedPicture
from dpip.filters.gif_codes import check_gif_codes
from dpip.formats import read_header
from dpip.formats.avif_losses import avif_losses
from dpip.formats.byte_reader import MOST_BYTES, MOST_READS, ByteReader, Malformed
from dpip.formats.jpeg import jpeg_losses
from dpip.formats.png import png_losses
from dpip.formats.tiff import read_pages
from dpip.formats.tiff_blocks import check_blocks
from dpip.formats.webp import is_lossless_webp
from dpip.model.image import PictureHeader
from tests.hostile import BOMBS, HOSTILE, POLYGLOTS
from tests.unit.formats.pictures import PICTURES

MUTATIONS = 400
SEED = 20_240


class CountingFile(io.BytesIO):
    """Counts how often it is read, and how many bytes."""

    reads = read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.reads += 1
        self.read_bytes += len(content)
        return content


def header_of(content: bytes, most: int = MOST_BYTES) -> PictureHeader | None:
    """The header, unless there is none; anything but a refusal is passed on."""
    file = CountingFile(content)
    try:
        return read_header(file)
    except UnsupportedPicture:
        return None
    finally:
        assert file.reads <= MOST_READS
        assert file.read_bytes <= most


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_read_or_refused_with_bounded_work(name: str) -> None:
    """However often it sends its reader on."""
    header_of(HOSTILE[name])


@pytest.mark.parametrize("name", PICTURES)
def test_a_damaged_header_is_read_or_refused_with_bounded_work(name: str) -> None:
    """Cut off, flipped, lying, with parts gone or there twice."""
    others = [PICTURES[other][0]() for other in ("png", "gif animated", "tiff big-endian")]
    for content in mutations([PICTURES[name][0](), *others], MUTATIONS, SEED):
        header = header_of(content)
        assert header is None or min(header.width, header.height, header.frames) > 0


def look_through(content: bytes) -> None:
    """Look for what lies beside a picture, as a worker does once its header was read."""
    losses = (avif_losses, check_gif_codes, jpeg_losses, png_losses, tiff_blocks, is_lossless_webp)
    for look in losses:
        file = CountingFile(content)
        with contextlib.suppress(Malformed):
            look(ByteReader(file))
        assert file.reads <= MOST_READS
        assert file.read_bytes <= MOST_BYTES


def tiff_blocks(reader: ByteReader) -> None:
    check_blocks(reader, read_pages(reader).kept)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_picture_is_looked_through_with_bounded_work(name: str) -> None:
    """Of whatever format it says that it is."""
    look_through(HOSTILE[name])


@pytest.mark.parametrize("name", PICTURES)
def test_a_damaged_picture_is_looked_through_with_bounded_work(name: str) -> None:
    """Anything but a refusal is passed on."""
    for content in mutations([PICTURES[name][0]()], MUTATIONS // 4, SEED):
        look_through(content)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_known_by_its_header(name: str) -> None:
    """From a few bytes of it: nothing is decoded."""
    header = header_of(BOMBS[name], most=100_000)
    assert header is not None
    assert header.pixels >= 50_000_000


@pytest.mark.parametrize("name", POLYGLOTS)
def test_what_can_run_is_no_picture(name: str) -> None:
    """Nothing behind the first bytes of a picture makes it another."""
    header = header_of(POLYGLOTS[name])
    assert (header is None) == (name not in ("script after a gif", "zip after a png"))


def test_the_fields_of_all_pages_are_bounded() -> None:
    """Each of them is looked at, so a page with many is no licence for many such pages."""
    with pytest.raises(UnsupportedPicture, match="too many fields"):
        read_header(io.BytesIO(HOSTILE["tiff of many full directories"]))


@pytest.mark.parametrize("name", ["heic", "heic that calls itself avif"])
def test_heic_is_refused_by_name(name: str) -> None:
    """It would open, and then fail to decode."""
    with pytest.raises(UnsupportedPicture, match="HEIC"):
        read_header(io.BytesIO(HOSTILE[name]))
