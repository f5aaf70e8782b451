"""What of a picture's metadata is kept: by default who made it, and how its colours are meant."""

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
_DESCRIPTION = re.compile(r", ASCII, (\d+) components, \d+ bytes\)$")


def keep_credits(image: "pyvips.Image") -> "pyvips.Image":
    """Return ``image`` without metadata on camera, place and history.

    Copyright and artist stay, and so does the colour profile.
    """
    image = image.copy()
    for name in image.get_fields():
        if name.startswith(_PRIVATE) and not name.endswith(_CREDITS):
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
    """What the savers of libvips are to write of an image that has been through ``keep_credits``.

    They make up an EXIF block of their own where there is nothing to say, unless told not to.
    """
    return "icc|exif|other" if has_credits(image) else "icc"


def has_credits(image: "pyvips.Image") -> bool:
    """Whether ``image`` says who made it."""
    return any(name.endswith(_CREDITS) for name in image.get_fields())
