"""Opening a picture's file with the loader of its format, and turning it upright."""

from pathlib import Path

from dpip.filters.frames import each_frame
from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat

# Each format by its own loader: what the header said is what is decoded, whatever else the bytes
# might be taken for.
_LOADERS = {
    PictureFormat.JPEG: (pyvips.Image.jpegload, {}),
    PictureFormat.PNG: (pyvips.Image.pngload, {}),
    PictureFormat.WEBP: (pyvips.Image.webpload, {"n": -1}),
    PictureFormat.GIF: (pyvips.Image.gifload, {"n": -1}),
    PictureFormat.TIFF: (pyvips.Image.tiffload, {"n": -1}),
    PictureFormat.AVIF: (pyvips.Image.heifload, {}),
}
_AS_STORED, _MIRRORED = 1, 2


def load(source: Path, format: PictureFormat) -> "pyvips.Image":  # noqa: A002
    """Open all frames of ``source``, upright, one above the other.

    Pixels are decoded from top to bottom while they are used, so that memory stays flat, unless
    the picture has to be turned or has several frames, whose lines are not used in their order.
    Raises ``pyvips.Error``, here or when the pixels are used.
    """
    image = _open(source, format, "sequential")
    orientation = image.get("orientation") if "orientation" in image.get_fields() else _AS_STORED
    if orientation not in (_AS_STORED, _MIRRORED) or image.get_n_pages() > 1:
        image = _open(source, format, "random")
    return image if orientation == _AS_STORED else each_frame(image, pyvips.Image.autorot)


def check_decodes(source: Path, format: PictureFormat) -> None:  # noqa: A002
    """Decode every pixel of ``source`` and do nothing else. Raises ``pyvips.Error``."""
    _open(source, format, "sequential").avg()


def _open(source: Path, format: PictureFormat, access: str) -> "pyvips.Image":  # noqa: A002
    loader, options = _LOADERS[format]
    # Half a picture is no result: one that is cut off or damaged fails.
    return loader(str(source), access=access, fail_on="error", **options)
