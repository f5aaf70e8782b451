"""Writing a picture in a format, with settings chosen for quality first, then for speed."""

from pathlib import Path
from typing import Any

from dpip.filters.carried import Carried
from dpip.filters.embedding import Embedding
from dpip.filters.encoding import is_lossless_webp, tiff_compression
from dpip.filters.exif import Exif
from dpip.filters.failures import cannot_write
from dpip.filters.libvips import pyvips
from dpip.filters.profiles import PROFILE, STAND_IN
from dpip.filters.tiff_fields import write_fields
from dpip.filters.tiff_samples import with_alpha_of_tiff
from dpip.model.image import PictureFormat

_CLASSIC_TIFF_BYTES = 2 << 30
JPEG_QUALITY = 85
_WEBP_QUALITY = 80
_AVIF_QUALITY = 60
_WITH_PREDICTOR = {"lzw", "deflate"}
_PROFILE_ALONE, _ALL_BUT_EXIF = "icc", "icc|xmp|iptc|other"
"""What libvips is to write of metadata; it garbles EXIF, and a gain map is of the original."""


def save(
    image: pyvips.Image,
    source: Path,
    target: Path,
    format: PictureFormat,  # noqa: A002
    carried: Carried,
    png_compression: int,
) -> None:
    """Write ``image``, which came from ``source``, to ``target``, with its profile and ``carried``.

    Raises ``pyvips.Error``, or what ``cannot_write`` returns.
    """
    saver, options = _saver(image, source, format, png_compression)
    keeps_more = carried.everything and format is not PictureFormat.PNG
    options["keep"] = _ALL_BUT_EXIF if keeps_more else _PROFILE_ALONE
    if image.get_typeof(STAND_IN):
        image = image.copy()
        image.remove(PROFILE)
    match format:
        case PictureFormat.JPEG:
            Embedding(image, saver, options, target).as_jpeg(carried)
        case PictureFormat.PNG:
            Embedding(image, saver, options, target).as_png(carried)
        case PictureFormat.WEBP | PictureFormat.AVIF:
            Embedding(image, saver, options, target).in_boxes(carried)
        case PictureFormat.TIFF:
            Embedding(with_alpha_of_tiff(image), saver, options, target).plain()
            write_fields(target, carried.exif or Exif("<", {}))
        case PictureFormat.GIF:
            Embedding(image, saver, options, target).plain()


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
) -> tuple[str, dict[str, Any]]:
    match format:
        case PictureFormat.JPEG:
            return "jpegsave", {"Q": JPEG_QUALITY}
        case PictureFormat.PNG:
            # At level 1, filter "up" takes half the time of libvips' default (no filter at level 6)
            # and makes a smaller file of a blurred picture.
            return "pngsave", {"compression": png_compression, "filter": "up"}
        case PictureFormat.WEBP if is_lossless_webp(source):
            return "webpsave", {"lossless": True, "effort": 2}
        case PictureFormat.WEBP:
            # Effort 4, the default, takes 2.4 times as long for 5 % fewer bytes.
            return "webpsave", {"Q": _WEBP_QUALITY, "effort": 2}
        case PictureFormat.GIF:
            # Effort 7, the default, takes four times as long on a blurred animation.
            return "gifsave", {"effort": 4}
        case PictureFormat.TIFF:
            return "tiffsave", _tiff_options(image, tiff_compression(source))
        case PictureFormat.AVIF:
            return "heifsave", _avif_options(image)


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
