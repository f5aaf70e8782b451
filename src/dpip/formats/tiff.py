"""TIFF: its pages, and what lies beside them."""

from typing import NamedTuple

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.formats.tiff_directory import Directories, Directory
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.note import Note

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 274, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _SUB_DIRECTORIES, _SAMPLE_FORMAT = 322, 323, 330, 339
_DNG_VERSION = 50706
_SEPARATE = 2

_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
_RAW_PHOTOMETRICS = {32803, 34892}
"""The colour filter array of a sensor, and what is left of it before it is developed."""

_RAW = "it is a camera raw file, which has to be developed first"


class Page(NamedTuple):
    """One page, the directory at ``place`` of its file. ``layout`` is how its pixels are stored.

    ``is_separate``: its channels lie in planes, one after another.
    """

    place: int
    width: int
    height: int
    samples: int
    bits: int
    compression: int
    is_tiled: bool
    photometric: int
    sample_format: int
    is_separate: bool
    layout: tuple[int, ...]

    @property
    def kind(self) -> tuple[int, ...]:
        """What all pages of a picture have in common."""
        return self.width, self.height, self.samples, self.bits


class Pages(NamedTuple):
    """The pages that are the picture, and notes on those that are passed over."""

    kept: list[Page]
    total: int
    notes: tuple[Note, ...]


def read_tiff(reader: ByteReader) -> PictureHeader:
    """Read the size and number of its pages. Raises ``Malformed``."""
    pages = read_pages(reader).kept
    first = pages[0]
    return PictureHeader(
        format=PictureFormat.TIFF,
        width=first.width,
        height=first.height,
        frames=len(pages),
        bands=first.samples,
        depth=first.bits,
    )


def read_pages(reader: ByteReader) -> Pages:
    """Read every page.

    Pages that are smaller versions or masks of others are passed over. Raises ``Malformed``, also
    for pages of several sizes, and for a camera raw file, which shows a preview to whom reads its
    first page.
    """
    if reader.peek(12)[8:10] == b"CR":
        raise Malformed(_RAW)
    directories = Directories(reader)
    found: list[tuple[Page, int]] = []
    sub_directories: list[int] = []
    for index, directory in enumerate(directories.chain()):
        found.append((_page(index, directory), _role(directory)))
        if _is_raw(directory):
            raise Malformed(_RAW)
        sub_directories += directory.numbers(_SUB_DIRECTORIES)
    if not found:
        raise Malformed("there is no page in it")
    # If all are marked so, nothing is left that they could be versions of.
    kept = [page for page, role in found if not role] or [page for page, _ in found]
    largest = max(page.width * page.height for page in kept)
    for offset in sub_directories:
        _check_is_less(directories.at(offset), largest)
    if odd := next((page for page in kept if page.kind != kept[0].kind), None):
        raise Malformed(
            f"its pages differ: page 1 has {_in_words(kept[0])}, page {odd.place + 1} has "
            f"{_in_words(odd)}; pages have to be of one size, which those of a file a page are"
        )
    dropped = {role for page, role in found if page not in kept}
    notes = [(_REDUCED, Note.PREVIEWS_DROPPED), (_MASK, Note.MASKS_DROPPED)]
    return Pages(kept, len(found), tuple(note for role, note in notes if role in dropped))


def _page(index: int, directory: Directory) -> Page:
    layout_tags = (
        _COMPRESSION,
        _PHOTOMETRIC,
        _ORIENTATION,
        _ROWS_PER_STRIP,
        _PLANAR,
        _TILE_WIDTH,
        _TILE_HEIGHT,
        _SAMPLE_FORMAT,
    )
    return Page(
        place=index,
        width=directory.number(_WIDTH, 0),
        height=directory.number(_HEIGHT, 0),
        samples=directory.number(_SAMPLES, 1),
        bits=directory.number(_BITS, 1),
        compression=directory.number(_COMPRESSION, 1),
        is_tiled=_TILE_WIDTH in directory,
        photometric=directory.number(_PHOTOMETRIC, 0),
        sample_format=directory.number(_SAMPLE_FORMAT, 1),
        is_separate=directory.number(_PLANAR, 1) == _SEPARATE,
        layout=tuple(directory.number(tag, 0) for tag in layout_tags),
    )


def _role(directory: Directory) -> int:
    """``_REDUCED``, ``_MASK``, or 0 for a page that is a picture of its own."""
    kind = directory.number(_NEW_SUBFILE_TYPE, 0)
    if kind & _MASK:
        return _MASK
    is_reduced = kind & _REDUCED or directory.number(_SUBFILE_TYPE, 0) == _OLD_REDUCED
    return _REDUCED if is_reduced else 0


def _is_raw(directory: Directory) -> bool:
    is_raw = directory.number(_PHOTOMETRIC, 0) in _RAW_PHOTOMETRICS
    return is_raw or _DNG_VERSION in directory


def _check_is_less(directory: Directory, largest: int) -> None:
    """Refuse a file whose pages are previews of what is in a sub-directory."""
    if _is_raw(directory):
        raise Malformed(_RAW)
    width, height = directory.number(_WIDTH, 0), directory.number(_HEIGHT, 0)
    if not _role(directory) and width * height > largest:
        raise Malformed(
            f"its picture of {width} x {height} lies in a sub-directory behind a preview, as in "
            "camera raw files"
        )


def _in_words(page: Page) -> str:
    return f"{page.width} x {page.height} pixels of {page.samples} x {page.bits} bits"
