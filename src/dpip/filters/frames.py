"""Animations and documents: frames that libvips holds one above the other in one tall image."""

from collections.abc import Callable

from dpip.filters.libvips import pyvips


def each_frame(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """Apply ``change`` to every frame of ``image`` by itself."""
    if frame_count(image) == 1:
        return change(image)
    return stacked([change(frame) for frame in image.pagesplit()])


def frame_count(image: pyvips.Image) -> int:
    """The number of frames in ``image``, which its file may have more of."""
    return int(image.height // image.get_page_height())


def stacked(frames: list[pyvips.Image]) -> pyvips.Image:
    """One image of ``frames``, all of one size."""
    tall = pyvips.Image.arrayjoin(frames, across=1).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return tall
