"""What the file of a picture says that libvips leaves out or garbles, read and written again."""

import struct
from pathlib import Path
from typing import NamedTuple

from dpip.filters.cicp import Cicp, Colours, colours_of_gamma
from dpip.filters.exif import Exif, read_exif
from dpip.filters.libvips import pyvips
from dpip.filters.metadata import is_kept_of_tiff
from dpip.filters.png_chunks import Chunk, read_chunks
from dpip.filters.profiles import PROFILE
from dpip.filters.tiff_fields import read_fields
from dpip.filters.tiff_pages import pages_of
from dpip.filters.tiff_samples import SAMPLE_FIELDS
from dpip.formats.avif import read_cicp
from dpip.model.image import PictureFormat

_EXIF = "exif-data"


class Declared(NamedTuple):
    """EXIF, or the fields of a TIFF; the chunks of a PNG; the code points of colours."""

    exif: Exif | None = None
    chunks: tuple[Chunk, ...] = ()
    cicp: Cicp | None = None

    @property
    def colours(self) -> Colours | None:
        """How colours are meant, where no profile says it; ``None`` if nothing does."""
        if self.cicp is not None:
            return self.cicp.colours
        gamma, chromaticities = (self._numbers(kind) for kind in (b"gAMA", b"cHRM"))
        if not gamma or not gamma[0] or any(chunk.kind == b"sRGB" for chunk in self.chunks):
            return None
        return colours_of_gamma(gamma[0], chromaticities)

    def _numbers(self, kind: bytes) -> tuple[float, ...] | None:
        """Those of the chunk ``kind``, which has them in hundred thousandths."""
        wanted = {b"gAMA": 1, b"cHRM": 8}[kind]
        for chunk in self.chunks:
            if chunk.kind == kind and len(chunk.content) == 4 * wanted:
                return tuple(n / 100_000 for n in struct.unpack(f">{wanted}L", chunk.content))
        return None


def read_declared(
    source: Path,
    format: PictureFormat,  # noqa: A002
    image: pyvips.Image,
    *,
    everything: bool,
) -> Declared:
    """What ``source``, opened as ``image``, declares; of a TIFF, no more than is needed."""
    match format:
        case PictureFormat.TIFF:

            def wanted(tag: int) -> bool:
                return tag in SAMPLE_FIELDS or is_kept_of_tiff(tag, everything=everything)

            return Declared(read_fields(source, pages_of(source).kept[0].place, wanted))
        case PictureFormat.PNG:
            chunks = tuple(read_chunks(source))
            return Declared(_exif_of(image), chunks, _cicp_of(chunks))
        case PictureFormat.AVIF:
            with source.open("rb") as file:
                points = None if image.get_typeof(PROFILE) else read_cicp(file)
            return Declared(_exif_of(image), cicp=Cicp(*points) if points else None)
    return Declared(_exif_of(image))


def _exif_of(image: pyvips.Image) -> Exif | None:
    return read_exif(image.get(_EXIF)) if image.get_typeof(_EXIF) else None


def _cicp_of(chunks: tuple[Chunk, ...]) -> Cicp | None:
    for chunk in chunks:
        if chunk.kind == b"cICP" and len(chunk.content) == 4:
            return Cicp(*chunk.content[:2])
    return None
