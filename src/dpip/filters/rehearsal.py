"""A run through all formats and filters, before the first picture of a stranger."""

from pathlib import Path

from dpip.errors import DpipError
from dpip.filters.gray_jpeg import as_gray_jpeg
from dpip.filters.libvips import pyvips
from dpip.filters.loading import draft_for, load, open_header
from dpip.filters.pipeline import parse_pipeline
from dpip.filters.registry import FILTERS, filter_of
from dpip.filters.saving import JPEG_QUALITY
from dpip.model.image import PictureFormat

_SIDE = 32
_PIPELINE = parse_pipeline(",".join(each.name for each in FILTERS))


def rehearse(directory: Path) -> tuple[str, ...]:
    """Filter a small picture of every format in ``directory``; what failed, a phrase each.

    libvips and its libraries do here what they do once, on first use. What a format lacks in this
    libvips fails too.
    """
    failures = []
    for format in PictureFormat:  # noqa: A001
        try:
            _filter_small(format, directory)
        except (pyvips.Error, DpipError, OSError) as error:
            failures.append(f"{format.value}: {error}".strip())
    return tuple(failures)


def _filter_small(format: PictureFormat, directory: Path) -> None:  # noqa: A002
    source, target = (directory / f"{name}{format.suffix}" for name in ("rehearsal", "rehearsed"))
    plain = pyvips.Image.black(_SIDE, _SIDE, bands=3).copy(interpretation="srgb")
    plain.write_to_file(str(source))
    image = load(source, format, draft_for(_PIPELINE))
    for step in _PIPELINE.steps:
        image = filter_of(step).apply(image, step)
    image.write_to_file(str(target))
    if format is PictureFormat.JPEG:  # Its gray has a way of its own.
        as_gray_jpeg(source, open_header(source, format), JPEG_QUALITY, b"")
