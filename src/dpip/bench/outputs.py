"""Whether what a contender wrote is the picture that was asked for. Loads libvips."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from msgspec import Struct

from dpip.client.targets import Picture
from dpip.errors import DpipError
from dpip.filters.libvips import pyvips
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import parse_pipeline
from dpip.formats import read_header


class Judgement(Struct, frozen=True, kw_only=True):
    """How many pictures came out of how many, and how they are beside those of DPIP's own filters.

    Of a sample, ``wrong`` ones cannot be read or have another size, and ``difference`` is the mean
    distance of the others, in levels of 255 for a band of a pixel.
    """

    expected: int
    pictures: int
    wrong: int
    difference: float

    @property
    def missing(self) -> int:
        """How many did not come out."""
        return self.expected - self.pictures


class Reference:
    """A sample of pictures, filtered by DPIP's own filters in this process."""

    def __init__(self, pictures: Sequence[Picture], filter: str, most: int) -> None:  # noqa: A002
        """Filter at most ``most`` of ``pictures``, spread over them, each to its target."""
        every = -(-len(pictures) // most)
        pipeline = parse_pipeline(filter)
        self._filtered: dict[Path, Path] = {}
        for picture in pictures[::every]:
            try:
                with picture.source.open("rb") as file:
                    header = read_header(file)
                picture.target.parent.mkdir(parents=True, exist_ok=True)
                filter_picture(picture.source, picture.target, pipeline, header.format)
            except (DpipError, OSError):
                continue  # No picture; nobody is measured by it.
            self._filtered[picture.source] = picture.target

    @property
    def sample(self) -> list[Path]:
        """The sources that others are measured by."""
        return list(self._filtered)

    def judge(self, pictures: Sequence[Picture]) -> Judgement:
        """Compare what there is at the targets of ``pictures``."""
        distances = [
            _distance(picture.target, self._filtered[picture.source])
            for picture in pictures
            if picture.source in self._filtered
        ]
        known = [distance for distance in distances if distance is not None]
        return Judgement(
            expected=len(pictures),
            pictures=sum(picture.target.exists() for picture in pictures),
            wrong=len(distances) - len(known),
            difference=mean(known) if known else 0.0,
        )


def _distance(one: Path, other: Path) -> float | None:
    """The mean distance of two pictures; ``None`` if they have not the same size.

    A thumbnail may be rounded to one pixel more or less.
    """
    try:
        first, second = _colours(one), _colours(other)
        width, height = min(first.width, second.width), min(first.height, second.height)
        if (
            max(first.width, second.width) > width + 1
            or max(first.height, second.height) > height + 1
        ):
            return None
        return float(
            (first.crop(0, 0, width, height) - second.crop(0, 0, width, height)).abs().avg()
        )
    except pyvips.Error:
        return None


def _colours(file: Path) -> pyvips.Image:
    image = pyvips.Image.new_from_file(str(file), access="sequential").colourspace("srgb")
    return image.extract_band(0, n=3)
