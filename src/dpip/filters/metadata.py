"""What of a picture's metadata is kept: who made it and how its colours are meant."""

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
_CREDITS = ("Copyright", "Artist", "Author")


def keep_credits(image: "pyvips.Image") -> "pyvips.Image":
    """Return ``image`` without metadata on camera, place and history.

    Copyright and artist stay, and so does the colour profile.
    """
    image = image.copy()
    for name in image.get_fields():
        if name.startswith(_PRIVATE) and not name.endswith(_CREDITS):
            image.remove(name)
    return image


def metadata_to_save(image: "pyvips.Image") -> str:
    """What the savers of libvips are to write of an image that has been through ``keep_credits``.

    They make up an EXIF block of their own where there is nothing to say, unless told not to.
    """
    has_credits = any(name.endswith(_CREDITS) for name in image.get_fields())
    return "icc|exif|other" if has_credits else "icc"
