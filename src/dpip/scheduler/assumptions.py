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


class _Codec(Struct, frozen=True, kw_only=True):
    """Decoding and encoding of one format, as ``bench/prediction.py`` measures it.

    CPU milliseconds: ``fixed`` for any picture, with what is done around it; ``decoding`` for a
    million bytes of pixels, ``encoding`` for those of the result; ``reading`` for a million bytes
    of the file, ``writing`` for those that a result of its size would have. ``least_bands`` is what
    is encoded of a gray picture. ``held`` is how many times the bytes of its pixels a picture
    occupies.
    """

    fixed: float
    decoding: float
    encoding: float
    reading: float
    writing: float = 0.0
    least_bands: int = 1
    held: float


_COLOURS = 3
CODECS = {
    PictureFormat.JPEG: _Codec(fixed=3.5, decoding=1.0, encoding=2.0, reading=13.0, held=1.2),
    PictureFormat.PNG: _Codec(fixed=3.0, decoding=2.5, encoding=4.5, reading=3.0, held=1.0),
    PictureFormat.WEBP: _Codec(
        fixed=2.5,
        decoding=6.0,
        encoding=6.0,
        reading=20.0,
        writing=240.0,
        least_bands=_COLOURS,
        held=5.0,
    ),
    PictureFormat.GIF: _Codec(
        fixed=3.5,
        decoding=10.0,
        encoding=35.0,
        reading=5.0,
        writing=40.0,
        least_bands=_COLOURS,
        held=6.5,
    ),
    PictureFormat.TIFF: _Codec(fixed=3.0, decoding=1.0, encoding=5.0, reading=0.0, held=1.0),
    PictureFormat.AVIF: _Codec(
        fixed=6.5,
        decoding=10.0,
        encoding=13.0,
        reading=150.0,
        writing=170.0,
        least_bands=_COLOURS,
        held=8.5,
    ),
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
    codec = CODECS[header.format]
    filters, held, left = 0.0, codec.held * header.decoded_bytes, header
    for filter, parameters in steps:  # noqa: A001
        filters += filter.milliseconds(left, parameters)
        held += filter.holds * left.decoded_bytes
        left = filter.header(left, parameters)
    decoded = header.decoded_bytes
    encoded = left.pixels * max(left.bands, codec.least_bands) * -(-left.depth // 8)
    pixels = codec.decoding * decoded + codec.encoding * encoded
    file = (codec.reading + codec.writing * left.pixels / header.pixels) * size
    lines = _STREAMED_LINES * decoded / header.height
    return Parts(
        names,
        (codec.fixed, (pixels + file) / _MEGA, filters),
        (PROCESS_BYTES, held + lines),
    )


@lru_cache(maxsize=1024)
def _steps(pipeline: bytes) -> tuple[str, tuple[tuple[Filter, Step], ...]]:
    """The names of the filters, joined by commas, and the filters with their parameters."""
    decoded = decode_pipeline(pipeline)
    return describe(decoded), tuple((filter_of(step), step) for step in decoded.steps)
