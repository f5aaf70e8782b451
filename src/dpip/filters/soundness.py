"""Whether a picture is whole and undamaged, where its decoder alone would not say."""

import re
from pathlib import Path

from dpip.filters.gif_codes import check_gif_codes
from dpip.filters.libvips import complaints_of, pyvips
from dpip.filters.loading import open_header
from dpip.formats.avif_losses import avif_losses
from dpip.formats.byte_reader import ByteReader
from dpip.formats.jpeg import jpeg_losses
from dpip.formats.png import png_losses
from dpip.formats.tiff import read_pages
from dpip.formats.tiff_blocks import check_blocks
from dpip.model.image import PictureFormat
from dpip.model.note import Note

_STRAY = re.compile(r"\d+ extraneous bytes before marker")
_ONE_WARNING = "VIPS: read gave 1 warnings"


def inspect(source: Path, format: PictureFormat) -> list[Note]:  # noqa: A002
    """Look through ``source``; returns what there is in it that filters leave out.

    Raises ``Malformed`` or ``pyvips.Error`` if it is cut off, or damaged in a way that its decoder
    does not mind.
    """
    with source.open("rb") as file:
        reader = ByteReader(file)
        match format:
            case PictureFormat.JPEG:
                return jpeg_losses(reader)
            case PictureFormat.PNG:
                return png_losses(reader)
            case PictureFormat.AVIF:
                return avif_losses(reader)
            case PictureFormat.TIFF:
                return _inspect_tiff(reader, source)
            case PictureFormat.GIF:
                check_gif_codes(reader)
        return []


def _inspect_tiff(reader: ByteReader, source: Path) -> list[Note]:
    pages = read_pages(reader)
    check_blocks(reader, pages.kept)
    # libvips shows a tile that it cannot decode as black, and goes on.
    if any(page.is_tiled for page in pages.kept):
        check_decodes(source, PictureFormat.TIFF)
    return list(pages.notes)


def check_decodes(source: Path, format: PictureFormat) -> None:  # noqa: A002
    """Decode every pixel of ``source`` and do nothing else.

    Raises ``pyvips.Error``, also for what libvips only warns of, or passes over, at a pixel. What
    it warns of in a header is nothing that pixels depend on, but of a GIF, whose pixels it looks
    at that early.
    """
    harmless = complaints_of(lambda: open_header(source, format))
    if format is PictureFormat.GIF:
        harmless = []
    complaints = complaints_of(lambda: open_header(source, format).avg())
    doubts = [complaint for complaint in complaints if complaint not in harmless]
    if _ONE_WARNING in doubts:
        # Bytes between two segments, which no decoder minds, if they are all that is wrong.
        doubts = [doubt for doubt in doubts if doubt != _ONE_WARNING and not _STRAY.search(doubt)]
    if doubts:
        raise pyvips.Error("", doubts[-1])


def said(error: Exception) -> str:
    """What ``error`` says, in one line, each of its lines once."""
    words = getattr(error, "detail", "") or getattr(error, "message", "") or str(error)
    lines = [" ".join(line.split()) for line in words.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
