"""Which metadata of a picture its result carries: by default, all but what is private."""

import struct

from dpip.filters.exif import (
    EXIF,
    INTEROPERABILITY,
    ORIENTATION,
    PIXELS_ACROSS,
    PIXELS_DOWN,
    Directory,
    Exif,
    Field,
)
from dpip.filters.png_chunks import Chunk

_ACROSS, _DOWN = 0x011A, 0x011B
_RESOLUTION = {_ACROSS, _DOWN, 0x0128}
_CREDITS = {0x013B, 0x8298}  # Artist, Copyright.
_KEPT_EXIF = frozenset(
    {
        0x010E,  # ImageDescription
        0x010F,  # Make
        0x0110,  # Model
        ORIENTATION,
        *_RESOLUTION,
        0x0132,  # DateTime
        *_CREDITS,
        0x829A,  # ExposureTime
        0x829D,  # FNumber
        EXIF,
        0x8822,  # ExposureProgram
        0x8827,  # ISOSpeedRatings
        0x9000,  # ExifVersion
        0x9003,  # DateTimeOriginal
        0x9004,  # DateTimeDigitized
        0x9010,  # OffsetTime
        0x9011,  # OffsetTimeOriginal
        0x9012,  # OffsetTimeDigitized
        0x9204,  # ExposureBiasValue
        0x9207,  # MeteringMode
        0x9209,  # Flash
        0x920A,  # FocalLength
        0x9290,  # SubSecTime
        0x9291,  # SubSecTimeOriginal
        0x9292,  # SubSecTimeDigitized
        0xA001,  # ColorSpace
        INTEROPERABILITY,  # By which cameras say that colours are in Adobe RGB.
        0x0001,  # InteroperabilityIndex
        0x0002,  # InteroperabilityVersion
        0xA403,  # WhiteBalance
        0xA405,  # FocalLengthIn35mmFilm
        0xA433,  # LensMake
        0xA434,  # LensModel
    }
)
"""A list of what stays, so that a field nobody thought of does not leak."""

_OF_PIXELS = frozenset(
    {
        *range(0x00FE, 0x010B),  # Subfile, size, bits, compression, photometric, fill order.
        *(0x0111, 0x0115, 0x0116, 0x0117, 0x0118, 0x0119, 0x011C, 0x0120, 0x0121, 0x0122, 0x0123),
        *(0x0124, 0x0125, 0x0129, 0x012D),  # Fax options, page number, transfer function.
        *range(0x013D, 0x0160),  # Predictor, colours, tiles, inks, sample format.
        *range(0x0200, 0x0215),  # JPEG tables, coefficients of YCbCr.
        0x02BC,  # XMP, which libvips writes, as it does IPTC, Photoshop's and the profile.
        *(0x83BB, 0x8649, 0x8773, 0x935C),
    }
)
"""Fields about how the pixels of an original are stored, or that libvips writes again."""

_KEPT_TEXTS = {b"Copyright", b"Author", b"Creation Time"}
_SHORT, _LONG = 3, 4


def is_kept_of_tiff(tag: int, *, everything: bool) -> bool:
    """Whether a result carries the field ``tag`` of a TIFF."""
    return tag not in _OF_PIXELS if everything else tag in _KEPT_EXIF


def kept_exif(
    exif: Exif, width: int, height: int, *, everything: bool, resolution: tuple[float, float]
) -> Exif | None:
    """What of ``exif`` a result of that size carries, byte for byte.

    ``resolution``: the pixels of some length, across and down, as libvips has it.

    Credits, dates, the kind of camera, its exposure and the resolution stay; place, serial numbers,
    owner and notes of the maker go, unless ``everything`` stays. The result is upright.
    """
    kept = exif.directory if everything else _without_private(exif.directory)
    directory = {tag: field for tag, field in kept.items() if tag not in _OF_PIXELS}
    directory = _as_result(directory, exif.order, width, height)
    denser = _denser(directory, exif.order)
    if denser and denser == _compare(*reversed(resolution)):
        directory |= {_ACROSS: directory[_DOWN], _DOWN: directory[_ACROSS]}
    return Exif(exif.order, directory) if directory.keys() - {ORIENTATION} else None


def keeps_chunk(chunk: Chunk, *, everything: bool) -> bool:
    """Whether a result carries ``chunk`` of a PNG, unless it is about colours."""
    if chunk.keyword is None:
        return False
    return everything or chunk.keyword in _KEPT_TEXTS


def _without_private(directory: Directory) -> Directory:
    kept = {}
    for tag, field in directory.items():
        if tag not in _KEPT_EXIF:
            continue
        if isinstance(field.value, bytes):
            kept[tag] = field
        elif below := _without_private(field.value):
            kept[tag] = field._replace(value=below)
    return kept


def _as_result(directory: Directory, order: str, width: int, height: int) -> Directory:
    changed = dict(directory)
    for tag, value in {ORIENTATION: 1, PIXELS_ACROSS: width, PIXELS_DOWN: height}.items():
        if tag in changed:
            kind, code = (_SHORT, "H") if tag == ORIENTATION else (_LONG, "L")
            changed[tag] = Field(kind, 1, struct.pack(f"{order}{code}", value))
    below = changed.get(EXIF)
    if below is not None and not isinstance(below.value, bytes):
        changed[EXIF] = below._replace(value=_as_result(below.value, order, width, height))
    return changed


def _denser(directory: Directory, order: str) -> int:
    """1 if there are more pixels an inch across than down, -1 if there are fewer, else 0."""
    values = [directory[tag].value for tag in (_ACROSS, _DOWN) if tag in directory]
    if [len(value) for value in values] != [8, 8]:
        return 0
    across, down = (struct.unpack(f"{order}LL", value) for value in values)  # type: ignore[arg-type]
    return _compare(across[0] * down[1], down[0] * across[1])


def _compare(one: float, other: float) -> int:
    return (one > other) - (one < other)
