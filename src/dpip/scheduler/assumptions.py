"""What a job is assumed to take before any like it is done, in parts that are learned apart."""

from functools import lru_cache

from msgspec import Struct

from dpip.filters.pipeline import decode_pipeline, describe
from dpip.filters.registry import Filter, Step, filter_of
from dpip.model.image import PictureFormat, PictureHeader

_MEGA = 1e6
_MIB = 1024 * 1024
PROCESS_BYTES = 40.0 * _MIB
"""A child that has filtered some small pictures."""

_STREAMED_LINES = 1024
"""Lines of a picture that is streamed that are in memory at once, over all steps."""


class _Codec(Struct, frozen=True):
    """Decoding and encoding of one format, as ``bench/prediction.py`` measures it.

    CPU milliseconds: ``fixed`` for any picture, with what is done around it; ``decoding`` for a
    million bytes of pixels, ``encoding`` for those of the result, ``reading`` for a million bytes
    of the file. ``held`` is how many times the bytes of its pixels a picture occupies.
    """

    fixed: float
    decoding: float
    encoding: float
    reading: float
    held: float


_CODECS = {
    PictureFormat.JPEG: _Codec(fixed=3.5, decoding=1.0, encoding=1.5, reading=15.0, held=1.0),
    PictureFormat.PNG: _Codec(fixed=3.0, decoding=2.0, encoding=6.0, reading=1.0, held=1.0),
    PictureFormat.WEBP: _Codec(fixed=3.5, decoding=2.0, encoding=10.0, reading=190.0, held=5.0),
    PictureFormat.GIF: _Codec(fixed=4.5, decoding=10.0, encoding=65.0, reading=0.0, held=6.5),
    PictureFormat.TIFF: _Codec(fixed=2.5, decoding=3.0, encoding=6.0, reading=0.0, held=1.0),
    PictureFormat.AVIF: _Codec(fixed=6.5, decoding=8.0, encoding=18.0, reading=320.0, held=8.5),
}
"""JPEG, PNG and TIFF are streamed, unless they are interlaced, turned or have several pages, which
their headers do not say."""


class Parts(Struct, frozen=True):
    """What a job is assumed to take.

    ``cpu`` is in milliseconds: what any picture takes, decoding and encoding, the filters.
    ``memory`` is in bytes: the process itself, and the picture in it.
    """

    filters: str
    cpu: tuple[float, float, float]
    memory: tuple[float, float]


@lru_cache(maxsize=4096)
def parts_of(pipeline: bytes, header: PictureHeader, size: int) -> Parts:
    """The parts of a job, whose picture has ``size`` bytes, and the names of its filters.

    Raises ``InvalidValue`` if ``pipeline`` is none.
    """
    names, steps = _steps(pipeline)
    codec = _CODECS[header.format]
    filters, left = 0.0, header
    for filter, parameters in steps:  # noqa: A001
        filters += filter.milliseconds(left, parameters)
        left = filter.header(left, parameters)
    decoded = header.decoded_bytes
    pixels = codec.decoding * decoded + codec.encoding * left.decoded_bytes
    lines = _STREAMED_LINES * decoded / header.height
    return Parts(
        names,
        (codec.fixed, (pixels + codec.reading * size) / _MEGA, filters),
        (PROCESS_BYTES, codec.held * decoded + lines),
    )


@lru_cache(maxsize=1024)
def _steps(pipeline: bytes) -> tuple[str, tuple[tuple[Filter, Step], ...]]:
    """The names of the filters, joined by commas, and the filters with their parameters."""
    decoded = decode_pipeline(pipeline)
    return describe(decoded), tuple((filter_of(step), step) for step in decoded.steps)
