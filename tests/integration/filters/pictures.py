"""Pictures made up for tests, and a bench to filter them on."""

from pathlib import Path
from typing import Any

import numpy as np

from dpip.filters.libvips import pyvips
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import parse_pipeline
from dpip.model.image import PictureFormat as F
from dpip.model.image import PictureHeader
from dpip.model.note import Note

PHOTOGRAPH_SIZE = (64, 48)
LOADERS = {
    F.JPEG: pyvips.Image.jpegload,
    F.PNG: pyvips.Image.pngload,
    F.WEBP: pyvips.Image.webpload,
    F.GIF: pyvips.Image.gifload,
    F.TIFF: pyvips.Image.tiffload,
    F.AVIF: pyvips.Image.heifload,
}


class Bench:
    """Pictures in and out of a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.target = directory / "target"
        self.header: PictureHeader | None = None
        self.notes: tuple[Note, ...] = ()

    def filter(self, image: Any, pipeline: str, kind: F = F.PNG, **options: Any) -> Any:
        source = self.directory / f"source{kind.suffix}"
        image.write_to_file(str(source), **options)
        return self.filter_file(source, pipeline, kind)

    def filter_file(self, source: Path, pipeline: str, kind: F, **writing: int) -> Any:
        parsed = parse_pipeline(pipeline, **writing)  # type: ignore[arg-type]
        filtered = filter_picture(source, self.target, parsed, kind)
        self.header, self.notes = filtered.header, filtered.notes
        return self.result(kind)

    def result(self, kind: F, **options: Any) -> Any:
        return LOADERS[kind](str(self.target), **options)


def image_of(pixels: Any, interpretation: str = "srgb") -> Any:
    return pyvips.Image.new_from_array(pixels, interpretation=interpretation).copy(
        interpretation=interpretation
    )


def colourful(bands: int = 3, depth: int = 8) -> Any:
    width, height = PHOTOGRAPH_SIZE
    down, across = np.mgrid[0:height, 0:width]
    planes = [across * 4, down * 5, 255 - across * 2, 128 + down][:bands]
    pixels = np.stack(planes, axis=2).astype(np.uint16)
    if depth == 16:
        return image_of(pixels * 257, "rgb16")
    return image_of(pixels.astype(np.uint8))


def tall(frames: list[Any], **metadata: int) -> Any:
    image = pyvips.Image.arrayjoin(frames, across=1).copy()
    for name, value in {"page-height": frames[0].height, **metadata}.items():
        image.set_type(pyvips.GValue.gint_type, name.replace("_", "-"), value)
    return image


def soft(width: int, height: int) -> Any:
    """A picture without edges, which shrinks to the same whichever way."""
    across, down = (plane for plane in pyvips.Image.xyz(width, height))
    return (
        (across * 200 / width + 20)
        .bandjoin([down * 200 / height + 30, (across + down) * 100 / (width + height) + 50])
        .cast("uchar")
        .copy(interpretation="srgb")
    )
