"""Which metadata of a picture its result carries: by default, all but what is private."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyvips

_PRIVATE = (
    "exif-",
    "xmp-",
    "iptc-",
    "photoshop-",
    "jpeg-thumbnail-",
    "png-comment-",
    "gif-comment",
    "image-description",
)
ALL_METADATA = "all"
"""For the savers of libvips: everything that the image carries."""

_THUMBNAIL = "jpeg-thumbnail-data"
_CREDITS = ("Copyright", "Artist", "Author")
_EXIF_FIELD = re.compile(r"exif-ifd[02]-(.+)")
_KEPT_EXIF = frozenset(
    {
        "DateTime",
        "DateTimeOriginal",
        "DateTimeDigitized",
        "OffsetTime",
        "OffsetTimeOriginal",
        "OffsetTimeDigitized",
        "SubsecTime",
        "SubSecTimeOriginal",
        "SubSecTimeDigitized",
        "ImageDescription",
        "Make",
        "Model",
        "LensMake",
        "LensModel",
        "ExposureTime",
        "FNumber",
        "ExposureProgram",
        "ISOSpeedRatings",
        "ExposureBiasValue",
        "MeteringMode",
        "Flash",
        "FocalLength",
        "FocalLengthIn35mmFilm",
        "WhiteBalance",
    }
)
"""Names of libexif. A list of what stays, so that a field nobody thought of does not leak."""

_DESCRIPTION = re.compile(r", ASCII, (\d+) components, \d+ bytes\)$")


def drop_private(image: "pyvips.Image") -> "pyvips.Image":
    """Return ``image`` without what says where it was taken, by whose camera, and its history.

    Credits, dates, the kind of camera and its exposure stay, and so does the colour profile. XMP
    and IPTC go whole: place, serial numbers and owner have copies in them under many names.
    """
    image = image.copy()
    for name in image.get_fields():
        if name.startswith(_PRIVATE) and not _stays(name):
            image.remove(name)
        elif name.startswith("exif-"):
            # Savers cut a value off at its last " (", where they expect its description to begin.
            image.set(name, f"{_without_description(image.get(name))} ()")
    return image


def without_thumbnail(image: "pyvips.Image") -> "pyvips.Image":
    """Return ``image`` with all of its metadata but a thumbnail, which shows it unfiltered."""
    image = image.copy()
    if image.get_typeof(_THUMBNAIL):
        image.remove(_THUMBNAIL)
    return image


def _without_description(shown: str) -> str:
    """The text of an EXIF field, which libvips shows as ``text (text, ASCII, size …)``."""
    if (described := _DESCRIPTION.search(shown)) is None:
        return shown
    size = int(described[1])  # With the zero byte at its end, shown as a space.
    for text in (shown.encode()[:size].decode(errors="ignore"), shown[:size]):
        if shown.startswith(f"{text} ("):
            return text.rstrip()
    return shown.partition(" (")[0].rstrip()


def metadata_to_save(image: "pyvips.Image") -> str:
    """What the savers of libvips are to write of an image that has been through ``drop_private``.

    They make up an EXIF block of their own where there is nothing to say, unless told not to.
    """
    return "icc|exif|other" if has_kept_metadata(image) else "icc"


def has_kept_metadata(image: "pyvips.Image") -> bool:
    """Whether ``image`` carries something that ``drop_private`` keeps, beside its profile."""
    return any(_stays(name) for name in image.get_fields())


def _stays(name: str) -> bool:
    field = _EXIF_FIELD.fullmatch(name)
    return name.endswith(_CREDITS) or (field is not None and field[1] in _KEPT_EXIF)
