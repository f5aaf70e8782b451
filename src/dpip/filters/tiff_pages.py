"""The pages of a TIFF as libvips opens them."""

from pathlib import Path
from typing import Any

from dpip.filters.frames import stacked
from dpip.filters.libvips import pyvips
from dpip.formats.byte_reader import ByteReader
from dpip.formats.tiff import Page, Pages, read_pages

_MOST_BITS = 32
_WHITE_IS_ZERO, _RGB, _SEPARATED = 0, 2, 5
_SIGNED, _FLOAT = 2, 3


def open_tiff(source: str, **options: Any) -> pyvips.Image:
    """Open the pages that are the picture, one above the other.

    ``options`` are those of libvips' loader. Raises ``pyvips.Error``, also for pages whose pixels
    are of several kinds.
    """
    pages = pages_of(Path(source))
    kept = pages.kept
    for page in kept:
        _check_is_supported(page)
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


def _check_is_supported(page: Page) -> None:
    """Refuse what libvips reads, but as other pixels than there are."""
    if page.bits > _MOST_BITS:
        raise pyvips.Error(f"samples of {page.bits} bits are not supported, only up to 32")
    if page.photometric == _WHITE_IS_ZERO and page.sample_format in (_SIGNED, _FLOAT):
        raise pyvips.Error(
            "signed and floating-point samples in which 0 is white (photometric interpretation 0) "
            "are not supported"
        )
    is_half = page.sample_format == _FLOAT and page.bits < _MOST_BITS
    is_copied = page.photometric in (_RGB, _SEPARATED) and not is_half
    if page.is_separate and page.samples > 1 and not is_copied:
        raise pyvips.Error(
            f"separate planes (PlanarConfiguration 2) of {page.samples} x {page.bits} bits with "
            f"photometric interpretation {page.photometric} are not supported"
        )


def _kind(page: pyvips.Image) -> tuple[object, ...]:
    return page.width, page.height, page.bands, page.format, page.interpretation


def _without_count(page: pyvips.Image) -> pyvips.Image:
    """The same without libvips' note on how many pages there are in the file."""
    if not page.get_typeof("n-pages"):
        return page
    page = page.copy()
    page.remove("n-pages")
    return page
