"""Measure how well the cost of real pictures is predicted, before and while it is learned.

Real photographs, in many sizes and variants of all formats, go through the child process of a slot,
as on a worker, one after another in random order. The CPU time and the most memory of the child
for each are compared with predictions by what DPIP assumes, and after 20, 100 and 500 other jobs
have been learned from; then once more as if each had taken 2.5 times as long, as on a slow machine.
With ``--fit`` it prints, in place of that, the constants of codecs in ``scheduler/assumptions.py``
that fit the measurements best.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyvips
from msgspec import Struct
from msgspec.structs import replace
from scipy.optimize import nnls

from dpip.cli.photographs import photographs
from dpip.filters.pipeline import encode_pipeline, filtered_header, parse_pipeline
from dpip.formats import read_header
from dpip.model.cost import Cost, Prediction
from dpip.model.image import PictureFormat, PictureHeader
from dpip.scheduler.assumptions import CODECS, parts_of
from dpip.scheduler.prediction import CostModel
from dpip.worker.slot import Slot

PROCESSOR = "this one"
TESTED = 200
SLOW = 2.5
LEARNED = (0, 20, 100, 500)
LEAST_PIXELS, MOST_PIXELS = 30_000, 4_000_000
PIPELINES = (
    "grayscale",
    "blur:sigma=1",
    "blur:sigma=3",
    "blur:sigma=8",
    "blur:sigma=20",
    "grayscale,blur:sigma=2",
    "grayscale,blur:sigma=15",
    "blur:sigma=5,grayscale",
    "thumbnail:size=400",
    "sharpen:sigma=2",
)
VARIANTS: dict[PictureFormat, tuple[dict[str, Any], ...]] = {
    PictureFormat.JPEG: (
        {"Q": 75},
        {"Q": 85},
        {"Q": 95, "subsample_mode": "off"},
        {"Q": 85, "interlace": True},
    ),
    PictureFormat.PNG: ({}, {}, {"compression": 1}, {"interlace": True}),
    PictureFormat.WEBP: ({"Q": 75}, {"Q": 90}, {"lossless": True, "effort": 0}),
    PictureFormat.GIF: ({"effort": 1}, {"effort": 1, "dither": 0.0}),
    PictureFormat.TIFF: (
        {"compression": "none"},
        {"compression": "lzw", "predictor": "horizontal"},
        {"compression": "deflate"},
        {"compression": "jpeg"},
    ),
    PictureFormat.AVIF: ({"effort": 1, "Q": 50}, {"effort": 1, "Q": 80}),
}
ANIMATED = {PictureFormat.GIF, PictureFormat.WEBP, PictureFormat.TIFF}
DEEP = {PictureFormat.PNG, PictureFormat.TIFF}
WITH_ALPHA = {PictureFormat.PNG, PictureFormat.WEBP}


class Job(Struct, frozen=True, kw_only=True):
    """A job that was done, and what it took."""

    pipeline: str
    header: PictureHeader
    size: int
    cost: Cost

    @property
    def content(self) -> bytes:
        """The pipeline as a job has it."""
        return encode_pipeline(parse_pipeline(self.pipeline))


def write_picture(target: Path, format: PictureFormat, choose: random.Random) -> None:  # noqa: A002
    """Write one of the photographs, in some size and variant of ``format``."""
    photograph = pyvips.Image.new_from_file(str(choose.choice(photographs())))
    pixels = LEAST_PIXELS * (MOST_PIXELS / LEAST_PIXELS) ** choose.random()
    frames = choose.choice((2, 5, 12)) if format in ANIMATED and choose.random() < 0.2 else 1
    scale = (pixels / frames / (photograph.width * photograph.height)) ** 0.5
    image = photograph.resize(scale)
    if image.hasalpha() and format not in WITH_ALPHA:
        image = image.flatten()
    if format in WITH_ALPHA and not image.hasalpha() and choose.random() < 0.15:
        image = image.bandjoin(image[0])
    options = choose.choice(VARIANTS[format])
    if format in DEEP and options.get("compression") != "jpeg" and choose.random() < 0.15:
        gray = image.bands < 3
        image = (image * 257).cast("ushort").copy(interpretation="grey16" if gray else "rgb16")
    if frames > 1:
        height = image.height
        turned = [image.rot180() if number % 2 else image for number in range(frames)]
        image = pyvips.Image.arrayjoin(turned, across=1).copy()
        image.set_type(pyvips.GValue.gint_type, "page-height", height)
    image.write_to_file(f"{target}{format.suffix}", **options)
    Path(f"{target}{format.suffix}").rename(target)


async def measure(jobs: int, seed: int) -> list[Job]:
    """Have ``jobs`` jobs done, all in one child."""
    choose = random.Random(seed)  # noqa: S311  # nosec B311 # no secret
    done = []
    with tempfile.TemporaryDirectory() as name:
        slot = Slot(Path(name))
        await slot.start()
        try:
            for number in range(jobs):
                kind = list(PictureFormat)[number % len(PictureFormat)]
                done.append(await _measured(slot, Path(name), kind, choose))
                print(f"\r{number + 1} of {jobs} jobs", end="", file=sys.stderr)
        finally:
            await slot.close()
    print(file=sys.stderr)
    choose.shuffle(done)
    return done


async def _measured(slot: Slot, directory: Path, kind: PictureFormat, choose: random.Random) -> Job:
    source = directory / "original"
    write_picture(source, kind, choose)
    with source.open("rb") as file:
        header = read_header(file)
    size, pipeline = source.stat().st_size, choose.choice(PIPELINES)
    filtered = await slot.filter(
        source,
        directory / "filtered",
        encode_pipeline(parse_pipeline(pipeline)),
        header.format,
        memory_limit=4 << 30,
        time_limit=120,
    )
    return Job(pipeline=pipeline, header=header, size=size, cost=filtered.cost)


def print_errors(jobs: list[Job]) -> None:
    """Print how far off predictions of the last jobs are, with more and more of the others known.

    Memory counts as exceeded where a job took more than was predicted.
    """
    known, tested = jobs[:-TESTED], jobs[-TESTED:]
    model = CostModel()
    print(
        "| learned from | CPU, median error | CPU, 90th percentile | CPU of all together "
        "| memory exceeded | memory predicted by taken, median |\n|---|---|---|---|---|---|"
    )
    for before, now in itertools.pairwise((0, *LEARNED)):
        for job in known[before:now]:
            model.learn(job.content, job.header, job.size, PROCESSOR, job.cost)
        predicted = [model.predict(job.content, job.header, job.size, PROCESSOR) for job in tested]
        print(f"| {now} jobs | {' | '.join(errors(tested, predicted))} |")


def errors(jobs: list[Job], predicted: list[Prediction]) -> list[str]:
    """The columns of the table after the first."""
    cpu = [
        (each.cpu_milliseconds, job.cost.cpu_milliseconds)
        for job, each in zip(jobs, predicted, strict=True)
    ]
    memory = [each.memory / job.cost.memory for job, each in zip(jobs, predicted, strict=True)]
    apart = [abs(expected / taken - 1) for expected, taken in cpu]
    together = sum(expected for expected, _ in cpu) / sum(taken for _, taken in cpu) - 1
    return [
        f"{statistics.median(apart):.0%}",
        f"{statistics.quantiles(apart, n=10)[-1]:.0%}",
        f"{together:+.0%}",
        f"{sum(part < 1 for part in memory) / len(memory):.1%}",
        f"{statistics.median(memory):.2f}",
    ]


def print_fit(jobs: list[Job]) -> None:
    """Print the constants of each codec that fit best, by relative errors, and none below 0."""
    for kind, codec in CODECS.items():
        of_kind = [job for job in jobs if job.header.format is kind]
        rows, taken = zip(*(_constants(job, codec.least_bands) for job in of_kind), strict=True)
        weights = 1 / np.array(taken)
        fit, _ = nnls(np.array(rows) * weights[:, None], np.ones(len(taken)))
        names = ("fixed", "decoding", "encoding", "reading", "writing", "filters")
        print(kind, *(f"{name} {value:.1f}" for name, value in zip(names, fit, strict=True)))


def _constants(job: Job, least_bands: int) -> tuple[list[float], float]:
    """What the constants of a codec are multiplied with, and the milliseconds that were taken."""
    header, pipeline = job.header, parse_pipeline(job.pipeline)
    left = filtered_header(pipeline, header)
    encoded = left.pixels * max(left.bands, least_bands) * -(-left.depth // 8)
    parts = (header.decoded_bytes, encoded, job.size, job.size * left.pixels / header.pixels)
    filters = parts_of(job.content, header, job.size).cpu[2]
    return [1.0, *(part / 1e6 for part in parts), filters], job.cost.cpu_milliseconds


def main() -> None:
    """Measure jobs, or read what was measured, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=LEARNED[-1] + TESTED)
    parser.add_argument("--measured", type=Path, help="file of measurements, made if there is none")
    parser.add_argument("--fit", action="store_true", help="print what fits them best")
    arguments = parser.parse_args()
    if arguments.measured and arguments.measured.exists():
        jobs = msgspec.json.decode(arguments.measured.read_bytes(), type=list[Job])
    else:
        jobs = asyncio.run(measure(arguments.jobs, arguments.seed))
        if arguments.measured:
            arguments.measured.write_bytes(msgspec.json.encode(jobs))
    if arguments.fit:
        print_fit(jobs)
        return
    print_errors(jobs)
    print(f"\nAs if each had taken {SLOW} times as long:\n")
    print_errors([replace(job, cost=slower(job.cost)) for job in jobs])


def slower(cost: Cost) -> Cost:
    """The cost on a slow machine."""
    return replace(cost, cpu_milliseconds=SLOW * cost.cpu_milliseconds)


if __name__ == "__main__":
    main()
