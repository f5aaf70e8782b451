"""The resolution of a picture stays, however its format says it."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import Bench

_ACROSS, _DOWN, _UNIT = 282, 283, 296


def by_exif(across: float, down: float) -> dict[str, Any]:
    exif = Image.Exif()
    exif[_ACROSS], exif[_DOWN], exif[_UNIT] = across, down, 2
    return {"exif": exif}


def by_itself(across: float, down: float) -> dict[str, Any]:
    return {"dpi": (across, down)}


WAYS = [
    (F.JPEG, by_itself),
    (F.JPEG, by_exif),
    (F.PNG, by_itself),
    (F.TIFF, by_itself),
    (F.WEBP, by_exif),
    (F.AVIF, by_exif),
]


def inches(file: Path) -> tuple[float, float] | None:
    """What Pillow finds, in EXIF if nowhere else."""
    with Image.open(file) as image:
        if found := image.info.get("dpi"):
            return (round(float(found[0])), round(float(found[1])))
        exif = image.getexif()
        return (float(exif[_ACROSS]), float(exif[_DOWN])) if _ACROSS in exif else None


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("pipeline", ["grayscale", "blur", "flip", "thumbnail:size=8"])
@pytest.mark.parametrize(("kind", "way"), WAYS)
def test_the_resolution_stays(bench: Bench, kind: F, way: Any, pipeline: str, keep: bool) -> None:
    """With and without metadata."""
    source = bench.directory / f"source{kind.suffix}"
    for across in (300, 72):
        Image.new("RGB", (32, 24), (200, 90, 30)).save(source, **way(across, across))
        assert inches(source) == (across, across)
        bench.filter_file(source, pipeline, kind, keep_metadata=keep)
        assert inches(bench.target) == (across, across)


@pytest.mark.parametrize(("kind", "way"), WAYS[:4])
def test_the_resolution_turns_with_the_picture(bench: Bench, kind: F, way: Any) -> None:
    """Where it is not the same across and down, as that of a fax."""
    source = bench.directory / f"source{kind.suffix}"
    Image.new("RGB", (32, 24), (200, 90, 30)).save(source, **way(200, 100))
    for pipeline, wanted in {"rotate": (100, 200), "rotate:angle=180": (200, 100)}.items():
        bench.filter_file(source, pipeline, kind)
        assert inches(bench.target) == wanted


@pytest.mark.parametrize("pipeline", ["grayscale", "blur"])
@pytest.mark.parametrize("kind", [F.JPEG, F.TIFF, F.WEBP, F.AVIF])
def test_no_resolution_is_made_up(bench: Bench, kind: F, pipeline: str) -> None:
    """Where the original says none."""
    source = bench.directory / f"source{kind.suffix}"
    Image.new("RGB", (32, 24), (200, 90, 30)).save(source)
    bench.filter_file(source, pipeline, kind)
    assert inches(bench.target) in (None, (1, 1))
