"""What the header of a filtered picture may declare, by that of its original."""

from dpip.errors import InvalidValue
from dpip.model.image import PictureFormat, PictureHeader

_CROPPED = {PictureFormat.GIF, PictureFormat.AVIF}
"""Formats in which a picture may ask its decoder to show less than its header declares."""

_MERGED = {PictureFormat.GIF, PictureFormat.WEBP}
"""Formats whose savers make one frame of frames that are alike."""


def check_result_header(result: PictureHeader, original: PictureHeader) -> None:
    """Raise ``InvalidValue`` unless ``result`` can be that of a filtered ``original``.

    Filters keep format, size and frames. Width and height may change places, as the EXIF
    orientation of the original may ask for.
    """
    kind = original.format
    if result.format is not kind:
        raise InvalidValue(
            field="data",
            value=result.format.value,
            allowed=f"a filtered image has its original's format, {kind.value}",
        )
    if not _fits(_sides(result), _sides(original), may_be_less=kind in _CROPPED):
        raise InvalidValue(
            field="data",
            value=f"{result.width} x {result.height}",
            allowed="a filtered image has its original's width and height, "
            f"{original.width} x {original.height}",
        )
    if not _fits([result.frames], [original.frames], may_be_less=kind in _MERGED):
        raise InvalidValue(
            field="data",
            value=f"{result.frames} frames",
            allowed=f"a filtered image has its original's frames, {original.frames}",
        )


def _fits(sizes: list[int], expected: list[int], *, may_be_less: bool) -> bool:
    if may_be_less:
        return all(size <= most for size, most in zip(sizes, expected, strict=True))
    return sizes == expected


def _sides(header: PictureHeader) -> list[int]:
    """The shorter side and the longer one."""
    return sorted((header.width, header.height))
