"""A picture through a pipeline, from file to file. Loads libvips."""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from dpip.filters.carried import carried_by
from dpip.filters.declared import read_declared
from dpip.filters.failures import (
    LONGEST_REASON,
    DecodeFailed,
    FilterError,
    FilterFailed,
    OutOfMemory,
    cannot_write,
)
from dpip.filters.frames import each_frame, frame_count
from dpip.filters.gray_jpeg import as_gray_jpeg
from dpip.filters.grayscale import Grayscale
from dpip.filters.libvips import pyvips, warnings_of
from dpip.filters.loading import draft_for, is_upright, load, open_header
from dpip.filters.meaning import made_plain
from dpip.filters.pipeline import Pipeline
from dpip.filters.registry import filter_of
from dpip.filters.saving import JPEG_QUALITY, save, write
from dpip.filters.soundness import check_decodes, inspect, said
from dpip.formats.byte_reader import Malformed
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.note import Note

_MEMORY_SIGNS = ("out of memory", "cannot allocate", "unable to allocate", "insufficient memory")
_BITS = {"uchar": 8, "char": 8, "ushort": 16, "short": 16, "double": 64}
_USUAL_BITS = 32


class Result(Struct, frozen=True, kw_only=True):
    """What was written: its header, and what its owner should know of it."""

    header: PictureHeader
    notes: tuple[Note, ...] = ()


def filter_picture(
    source: Path,
    target: Path,
    pipeline: Pipeline,
    format: PictureFormat,  # noqa: A002
) -> Result:
    """Filter the picture in ``source`` into ``target``, in the same ``format``.

    It is turned upright as its EXIF orientation says; frames of animations and pages of TIFFs stay
    apart. Raises ``DecodeFailed``, ``FilterFailed``,
    ``OutOfMemory`` or ``CannotWrite``, and then leaves no ``target``.
    """
    try:
        notes = inspect(source, format)
        with warnings_of() as warnings:
            result = _luma_alone(source, target, pipeline, format) or _filtered(
                source, target, pipeline, format
            )
        if warnings:
            check_decodes(source, format)
        return replace(result, notes=(*notes, *result.notes))
    except (pyvips.Error, Malformed, MemoryError, OSError) as error:
        target.unlink(missing_ok=True)
        # The words are libvips' own, behind a name that no picture can know.
        if f"{target}: write error" in said(error):
            raise cannot_write(said(error)) from error
        explained = _explain(error, source, format)
        # Where its files lay is nothing to the owner of a picture.
        reason = str(explained).replace(str(source), "it").replace(str(target), "the result")
        raise type(explained)(reason=reason[:LONGEST_REASON]) from error


def _luma_alone(
    source: Path,
    target: Path,
    pipeline: Pipeline,
    format: PictureFormat,  # noqa: A002
) -> Result | None:
    """Write the gray of a JPEG as its decoder gives it, where that is all that is asked for.

    ``None`` for any other picture, and then nothing is written.
    """
    is_asked = pipeline.steps == (Grayscale(),) and not pipeline.keep_metadata
    if format is not PictureFormat.JPEG or not is_asked:
        return None
    image = open_header(source, format)
    if not is_upright(image):
        return None
    declared = read_declared(source, format, image, everything=False)
    carried = carried_by(image, image, declared, everything=False)
    luma = as_gray_jpeg(source, image, JPEG_QUALITY, carried.block)
    if luma is None:
        return None
    write(luma, target)
    return Result(
        header=PictureHeader(
            format=format, width=image.width, height=image.height, frames=1, bands=1, depth=8
        )
    )


def _filtered(
    source: Path,
    target: Path,
    pipeline: Pipeline,
    format: PictureFormat,  # noqa: A002
) -> Result:
    loaded = load(source, format, draft_for(pipeline))
    declared = read_declared(source, format, loaded, everything=pipeline.keep_metadata)
    original, notes = made_plain(loaded, format, declared)
    image = _apply(pipeline, original)
    carried = carried_by(image, original, declared, everything=pipeline.keep_metadata)
    save(image, source, target, format, carried, pipeline.png_compression)
    return Result(
        header=PictureHeader(
            format=format,
            width=image.width,
            height=image.get_page_height(),
            frames=frame_count(image),
            bands=image.bands,
            depth=_BITS.get(image.format, _USUAL_BITS),
        ),
        notes=notes,
    )


def _apply(pipeline: Pipeline, image: pyvips.Image) -> pyvips.Image:
    for step in pipeline.steps:
        filter = filter_of(step)  # noqa: A001
        if filter.pixelwise:
            image = filter.apply(image, step)
        else:
            image = each_frame(image, lambda frame: filter.apply(frame, step))  # noqa: B023
    return image


def _explain(error: Exception, source: Path, format: PictureFormat) -> FilterError:  # noqa: A002
    message = said(error)
    if isinstance(error, Malformed):
        return DecodeFailed(reason=f"The picture cannot be decoded: {message}.")
    if isinstance(error, MemoryError) or any(sign in message.lower() for sign in _MEMORY_SIGNS):
        return OutOfMemory(reason=f"There was not enough memory: {message}.")
    # libvips decodes while it writes, so an error of writing may be one of reading.
    try:
        check_decodes(source, format)
    except pyvips.Error as cause:
        return DecodeFailed(reason=f"The picture cannot be decoded: {said(cause)}.")
    return FilterFailed(reason=f"The picture cannot be filtered: {message}.")
