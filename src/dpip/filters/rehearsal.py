"""A run through all formats and filters, before the first picture of a stranger."""

from pathlib import Path

from dpip.errors import DpipError
from dpip.filters.libvips import pyvips
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import parse_pipeline
from dpip.filters.registry import FILTERS
from dpip.model.image import PictureFormat

_SIDE = 32
_PIPELINES = ("grayscale", ",".join(each.name for each in FILTERS))
"""The gray of a JPEG has a way of its own."""


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
    source = directory / "rehearsal"
    content = pyvips.Image.black(_SIDE, _SIDE, bands=3).copy(interpretation="srgb")
    source.write_bytes(content.write_to_buffer(format.suffix))
    for pipeline in _PIPELINES:
        filter_picture(source, directory / "rehearsed", parse_pipeline(pipeline), format)
