"""What a job is assumed to take before any like it is done, in parts that are learned apart."""

from functools import lru_cache

from msgspec import Struct

from dpip.filters.pipeline import decode_pipeline, describe
from dpip.filters.registry import filter_of
from dpip.model.image import PictureFormat, PictureHeader

_MEGA = 1e6
_MIB = 1024 * 1024
PROCESS_BYTES = 40.0 * _MIB
"""A child that has filtered some small pictures."""

_STREAMED_LINES = 1024
"""Lines of a picture that is streamed that are in memory at once, over all steps."""


class _Codec(Struct, frozen=True):
    """Decoding and encoding of one format, as ``bench/prediction.py`` measures it.

    CPU milliseconds: ``fixed`` for any picture, with what is done around it, ``megasample`` for a
    million samples (a band of a pixel) of the original and of the result, half each, ``megabyte``
    for a million bytes of the original's file. ``held`` is how many times its decoded bytes a
    picture occupies.
    """

    fixed: float
    megasample: float
    megabyte: float
    held: float


_CODECS = {
    PictureFormat.JPEG: _Codec(fixed=3.0, megasample=1.2, megabyte=15.0, held=1.0),
    PictureFormat.PNG: _Codec(fixed=3.0, megasample=2.5, megabyte=10.0, held=0.3),
    PictureFormat.WEBP: _Codec(fixed=5.0, megasample=9.0, megabyte=30.0, held=4.0),
    PictureFormat.GIF: _Codec(fixed=6.0, megasample=60.0, megabyte=30.0, held=5.0),
    PictureFormat.TIFF: _Codec(fixed=2.0, megasample=1.0, megabyte=1.0, held=0.3),
    PictureFormat.AVIF: _Codec(fixed=8.0, megasample=22.0, megabyte=60.0, held=10.0),
}


class Rates(Struct, frozen=True, kw_only=True):
    """What a job takes by the size of its picture, for one pipeline and one kind of picture.

    ``filters`` are the names in ``pipeline``, ``bytes_of_pixel`` and ``bytes_of_column`` what a
    picture occupies by its pixels and its width.
    """

    filters: str
    fixed: float
    codec_of_megapixel: float
    codec_of_megabyte: float
    filters_of_megapixel: float
    bytes_of_pixel: float
    bytes_of_column: float

    def cpu(self, header: PictureHeader, size: int) -> tuple[float, float, float]:
        """CPU milliseconds of what any picture takes, of decoding and encoding, of the filters."""
        megapixels = header.pixels / _MEGA
        codec = self.codec_of_megapixel * megapixels + self.codec_of_megabyte * size / _MEGA
        return self.fixed, codec, self.filters_of_megapixel * megapixels

    def memory(self, header: PictureHeader) -> tuple[float, float]:
        """Bytes of the process itself, and of the picture in it."""
        held = self.bytes_of_pixel * header.pixels + self.bytes_of_column * header.width
        return PROCESS_BYTES, held


@lru_cache(maxsize=4096)
def rates_of(
    pipeline: bytes,
    format: PictureFormat,  # noqa: A002
    bands: int,
    depth: int,
) -> Rates:
    """The rates of ``pipeline``. Raises ``InvalidValue`` if it is none."""
    steps = decode_pipeline(pipeline)
    codec = _CODECS[format]
    bytes_of_sample = -(-depth // 8)
    left = bands
    filters = 0.0
    for step in steps.steps:
        filter = filter_of(step)  # noqa: A001
        filters += filter.milliseconds(step, left, depth)
        if filter.drops_colour:
            left = 1 if left % 2 else 2
    return Rates(
        filters=describe(steps),
        fixed=codec.fixed,
        codec_of_megapixel=codec.megasample * bytes_of_sample * (bands + left) / 2,
        codec_of_megabyte=codec.megabyte,
        filters_of_megapixel=filters,
        bytes_of_pixel=codec.held * bands * bytes_of_sample,
        bytes_of_column=_STREAMED_LINES * bands * bytes_of_sample,
    )
