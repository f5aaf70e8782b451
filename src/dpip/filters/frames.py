"""Animations and documents: frames that libvips holds one above the other in one tall image."""

from collections.abc import Callable

from dpip.filters.libvips import pyvips


def each_frame(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """Apply ``change`` to every frame of ``image`` by itself."""
    if image.get_n_pages() == 1:
        return change(image)
    frames = [change(frame) for frame in image.pagesplit()]
    tall = pyvips.Image.arrayjoin(frames, across=1).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return tall
