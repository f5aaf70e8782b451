"""Writing a picture in a format, with settings chosen for quality first, then for speed."""

from pathlib import Path
from typing import Any

from dpip.filters.encoding import is_lossless_webp, tiff_compression
from dpip.filters.failures import cannot_write
from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat

_CLASSIC_TIFF_BYTES = 2 << 30
JPEG_QUALITY = 85
_WEBP_QUALITY = 80
_AVIF_QUALITY = 60
_WITH_PREDICTOR = {"lzw", "deflate"}


def save(
    image: pyvips.Image,
    source: Path,
    target: Path,
    format: PictureFormat,  # noqa: A002
    keep: str,
    png_compression: int,
) -> None:
    """Write ``image``, which came from ``source``, to ``target``, with the metadata ``keep``.

    Raises ``pyvips.Error``.
    """
    saver, options = _saver(image, source, format, png_compression)
    saver(image, str(target), keep=keep, **options)


def write(content: bytes, target: Path) -> None:
    """Write what is encoded to ``target``. Raises what ``cannot_write`` returns."""
    try:
        target.write_bytes(content)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise cannot_write(str(error.strerror)) from error


def _saver(
    image: pyvips.Image,
    source: Path,
    format: PictureFormat,  # noqa: A002
    png_compression: int,
) -> tuple[Any, dict[str, Any]]:
    match format:
        case PictureFormat.JPEG:
            return pyvips.Image.jpegsave, {"Q": JPEG_QUALITY}
        case PictureFormat.PNG:
            # At level 1, filter "up" takes half the time of libvips' default (no filter at level 6)
            # and makes a smaller file of a blurred picture.
            return pyvips.Image.pngsave, {"compression": png_compression, "filter": "up"}
        case PictureFormat.WEBP if is_lossless_webp(source):
            return pyvips.Image.webpsave, {"lossless": True, "effort": 2}
        case PictureFormat.WEBP:
            # Effort 4, the default, takes 2.4 times as long for 5 % fewer bytes.
            return pyvips.Image.webpsave, {"Q": _WEBP_QUALITY, "effort": 2}
        case PictureFormat.GIF:
            # Effort 7, the default, takes four times as long on a blurred animation.
            return pyvips.Image.gifsave, {"effort": 4}
        case PictureFormat.TIFF:
            return pyvips.Image.tiffsave, _tiff_options(image, tiff_compression(source))
        case PictureFormat.AVIF:
            return pyvips.Image.heifsave, _avif_options(image)


def _tiff_options(image: pyvips.Image, compression: str) -> dict[str, Any]:
    if compression == "jpeg" and (image.format != "uchar" or image.bands not in (1, 3)):
        compression = "deflate"
    size = image.width * image.height * image.bands * (4 if image.format == "float" else 2)
    return {
        "compression": compression,
        "predictor": "horizontal" if compression in _WITH_PREDICTOR else "none",
        "Q": JPEG_QUALITY,
        "bigtiff": size > _CLASSIC_TIFF_BYTES,
    }


def _avif_options(image: pyvips.Image) -> dict[str, Any]:
    # Effort 4, the default, takes 2 s a megapixel, nine times as long, for 30 % fewer bytes.
    options = {"compression": "av1", "Q": _AVIF_QUALITY, "effort": 1}
    if image.format == "uchar":
        return options
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 0
    return {**options, "bitdepth": bits if bits in (10, 12) else 12}
