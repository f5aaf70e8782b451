"""What the header of a filtered picture may declare, by that of its original."""

from msgspec.structs import replace

from dpip.errors import InvalidValue
from dpip.filters.pipeline import Pipeline, filtered_header
from dpip.model.image import PictureFormat, PictureHeader

_CROPPED = {PictureFormat.GIF, PictureFormat.AVIF}
"""Formats in which a picture may ask its decoder to show less than its header declares."""

_MERGED = {PictureFormat.GIF, PictureFormat.WEBP}
"""Formats whose savers make one frame of frames that are alike."""


def check_result_header(result: PictureHeader, original: PictureHeader, pipeline: Pipeline) -> None:
    """Raise ``InvalidValue`` unless ``result`` can be what ``pipeline`` makes of ``original``.

    Format and frames are kept, and the size is what the filters make of it. Width and height may
    change places, as the EXIF orientation of the original may ask for.
    """
    kind = original.format
    if result.format is not kind:
        raise InvalidValue(
            field="data",
            value=result.format.value,
            allowed=f"a filtered image has its original's format, {kind.value}",
        )
    expected = filtered_header(pipeline, original)
    if _sides(result) != _sides(expected) and not (
        kind in _CROPPED and _is_of_a_part(result, original, pipeline)
    ):
        raise InvalidValue(
            field="data",
            value=f"{result.width} x {result.height}",
            allowed="what the filters make of its original's width and height is "
            f"{expected.width} x {expected.height}",
        )
    if result.frames != original.frames and not (
        kind in _MERGED and result.frames < original.frames
    ):
        raise InvalidValue(
            field="data",
            value=f"{result.frames} frames",
            allowed=f"a filtered image has its original's frames, {original.frames}",
        )


def _is_of_a_part(result: PictureHeader, original: PictureHeader, pipeline: Pipeline) -> bool:
    """Whether ``pipeline`` can make ``result`` of a part of ``original``.

    A part may have other proportions, so each side is held against that of a square.
    """
    squares = [replace(original, width=side, height=side) for side in _sides(original)]
    most = [filtered_header(pipeline, square).width for square in squares]
    return all(side <= limit for side, limit in zip(_sides(result), most, strict=True))


def _sides(header: PictureHeader) -> list[int]:
    """The shorter side and the longer one."""
    return sorted((header.width, header.height))
