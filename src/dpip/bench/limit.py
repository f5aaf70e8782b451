"""The limit that all are measured against: the fastest correct way over all cores, and no more."""

import contextlib
import math
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from dpip.bench.bare_loop import BareLoop, Task
from dpip.bench.outputs import Judgement, Reference
from dpip.bench.ways import AS_THE_WORKER, WAYS, Way
from dpip.client.targets import Picture
from dpip.errors import DpipError
from dpip.filters.loading import open_header
from dpip.filters.pipeline import parse_pipeline
from dpip.filters.profiles import has_other_colours
from dpip.formats import read_header
from dpip.model.image import PictureFormat

TOLERANCE = 1.5
"""Levels of 255 by which a way's pictures may lie off DPIP's own on average, and still be right."""

_SAMPLE = 6
_TRIALS = 3
_SECONDS_OF_A_TRIAL = 0.3


class Trial(Struct, frozen=True, kw_only=True):
    """How one way did with a sample of a format; no figures where it was not tried."""

    format: PictureFormat
    way: str
    verdict: str
    milliseconds_a_picture: float | None = None
    difference: float | None = None


class Limit:
    """A contender: for every format the way that was the fastest in a trial before the contest.

    A picture with a profile of other colours than those of sRGB goes the worker's way, the only one
    that heeds profiles.
    """

    name = "limit"

    def __init__(self, loop: BareLoop, scratch: Path) -> None:
        """``scratch`` is where trials write; it is removed after ``loop`` has ended."""
        self._loop = loop
        self._scratch = scratch
        self._chosen: dict[PictureFormat, Way] = {}
        self._formats: dict[Path, PictureFormat] = {}
        self._in_other_colours: set[Path] = set()

    @property
    def how(self) -> str:
        """The ways that were chosen."""
        ways = [f"{each} {way.name}" for each, way in sorted(self._chosen.items())]
        return f"bare loop, a process a core; {', '.join(ways)}"

    def unfit(self, sources: Sequence[Path], filter: str) -> list[Path]:  # noqa: A002
        """Those of ``sources`` that DPIP's own filters cannot filter."""
        place = self._scratch / "unfit"
        pictures = _numbered(sources, place)
        tasks = [
            Task(picture, known, WAYS.index(AS_THE_WORKER))
            for picture in pictures
            if (known := _format_of(picture.source)) is not None
        ]
        self._loop.run(tasks, filter)
        unfit = [picture.source for picture in pictures if not picture.target.exists()]
        shutil.rmtree(place)
        return unfit

    def choose(self, sources: Sequence[Path], filter: str) -> list[Trial]:  # noqa: A002
        """Try all ways that can do ``filter`` on some pictures of every format of ``sources``.

        They are pictures that can be filtered.
        """
        self._chosen, self._formats = {}, {}
        self._in_other_colours.clear()
        by_format: dict[PictureFormat, list[Path]] = defaultdict(list)
        for source in sources:
            with source.open("rb") as file:
                format = read_header(file).format  # noqa: A001
            if has_other_colours(open_header(source, format)):
                self._in_other_colours.add(source)
            else:
                by_format[format].append(source)
            self._formats[source] = format
        trials = []
        for format, files in by_format.items():  # noqa: A001
            trial = _Trial(self._loop, format, files, filter, self._scratch / "trial")
            self._chosen[format] = trial.fastest
            trials += trial.report()
            shutil.rmtree(self._scratch / "trial")
        return trials

    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        """Filter every picture, all of which ``choose`` has seen."""
        tasks = [
            Task(picture, self._formats[picture.source], WAYS.index(self._way_of(picture.source)))
            for picture in pictures
        ]
        return self._loop.run(tasks, filter)

    def _way_of(self, source: Path) -> Way:
        if source in self._in_other_colours:
            return AS_THE_WORKER
        return self._chosen[self._formats[source]]


class _Trial:
    """All ways in turns at some pictures of one format; the right one that is ``fastest``."""

    def __init__(
        self,
        loop: BareLoop,
        format: PictureFormat,  # noqa: A002
        files: Sequence[Path],
        filter: str,  # noqa: A002
        folder: Path,
    ) -> None:
        self._format = format
        self._pipeline = parse_pipeline(filter)
        reference = Reference(_numbered(files, folder / "reference"), filter, _SAMPLE)
        able = [way for way in WAYS if way.can(self._pipeline, format) and not way.missing()]
        self._best: dict[str, float] = {way.name: math.inf for way in able}
        self._judgements: dict[str, Judgement] = {}
        for _ in range(_TRIALS):
            for way in able:
                pictures = _numbered(reference.sample, folder / way.name)
                tasks = [Task(each, format, WAYS.index(way)) for each in pictures]
                taken = _milliseconds(loop, tasks, filter)
                self._best[way.name] = min(self._best[way.name], taken)
                self._judgements[way.name] = reference.judge(pictures)
        right = [way for way in able if self._is_right(way)]
        self.fastest = min(right or [AS_THE_WORKER], key=lambda way: self._best[way.name])

    def report(self) -> list[Trial]:
        """What became of every way that could have been meant."""
        return [
            Trial(
                format=self._format,
                way=way.name,
                verdict=self._verdict(way),
                milliseconds_a_picture=self._best.get(way.name),
                difference=judged.difference
                if (judged := self._judgements.get(way.name))
                else None,
            )
            for way in WAYS
            if way.can(self._pipeline, self._format)
        ]

    def _is_right(self, way: Way) -> bool:
        judged = self._judgements[way.name]
        return not judged.wrong and judged.difference <= TOLERANCE

    def _verdict(self, way: Way) -> str:
        if way.missing():
            return f"left out: {', '.join(way.missing())} is not installed, see the extra bench"
        if not self._is_right(way):
            return f"not the same picture: {TOLERANCE:g} levels of 255 are allowed"
        return "chosen" if way is self.fastest else "slower"


def _format_of(source: Path) -> PictureFormat | None:
    with contextlib.suppress(DpipError, OSError), source.open("rb") as file:
        return read_header(file).format
    return None


def _numbered(files: Sequence[Path], folder: Path) -> list[Picture]:
    folder.mkdir(parents=True, exist_ok=True)
    return [Picture(file, folder / f"{number}{file.suffix}") for number, file in enumerate(files)]


def _milliseconds(loop: BareLoop, tasks: Sequence[Task], filter: str) -> float:  # noqa: A002
    """For one picture, of as many runs over all as it takes for a time that can be measured."""
    pictures, seconds = 0, 0.0
    while seconds < _SECONDS_OF_A_TRIAL:
        seconds += loop.run(tasks, filter)
        pictures += len(tasks)
    return 1000 * seconds / pictures
