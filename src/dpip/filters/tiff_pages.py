"""The pages of a TIFF as libvips opens them."""

from pathlib import Path
from typing import Any

from dpip.filters.frames import stacked
from dpip.filters.libvips import pyvips
from dpip.formats.byte_reader import ByteReader
from dpip.formats.tiff import Pages, read_pages

_MOST_BITS = 32


def open_tiff(source: str, **options: Any) -> pyvips.Image:
    """Open the pages that are the picture, one above the other.

    ``options`` are those of libvips' loader. Raises ``pyvips.Error``, also for pages whose pixels
    are of several kinds.
    """
    pages = pages_of(Path(source))
    kept = pages.kept
    if kept[0].bits > _MOST_BITS:
        raise pyvips.Error(f"samples of {kept[0].bits} bits are not supported, only up to 32")
    if len(kept) == 1:
        return _without_count(pyvips.Image.tiffload(source, page=kept[0].place, **options))
    if len(kept) == pages.total and len({page.layout for page in kept}) == 1:
        return pyvips.Image.tiffload(source, n=-1, **options)
    images = [
        # Copied, so that no more than one page's file is open; upright, each by its orientation.
        pyvips.Image.tiffload(source, page=page.place, **options).autorot().copy_memory()
        for page in kept
    ]
    if len({_kind(image) for image in images}) > 1:
        raise pyvips.Error("", "its pages are of several sizes or kinds of pixels")
    return stacked([_without_count(image) for image in images])


def pages_of(source: Path) -> Pages:
    """The pages of the TIFF in ``source``. Raises ``Malformed``."""
    with source.open("rb") as file:
        return read_pages(ByteReader(file))


def _kind(page: pyvips.Image) -> tuple[object, ...]:
    return page.width, page.height, page.bands, page.format, page.interpretation


def _without_count(page: pyvips.Image) -> pyvips.Image:
    """The same without libvips' note on how many pages there are in the file."""
    if not page.get_typeof("n-pages"):
        return page
    page = page.copy()
    page.remove("n-pages")
    return page
