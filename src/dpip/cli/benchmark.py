"""The whole system against a bare loop over the same pictures, in turns."""

import filecmp
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct

from dpip.client.batch import Picture


class Spread(Struct, frozen=True, kw_only=True):
    """A figure over all rounds."""

    median: float
    least: float
    most: float


class Speed(Struct, frozen=True, kw_only=True):
    """How fast one side was; ``milliseconds_a_picture`` is wall time with all cores at work."""

    pictures_per_second: Spread
    milliseconds_a_picture: Spread


class Outputs(Struct, frozen=True, kw_only=True):
    """How many pictures each side left in its folder, and how many differ from one to the other."""

    limit: int
    dpip: int
    different: int


class Comparison(Struct, frozen=True, kw_only=True):
    """What was measured; ``ratio`` is the median of ``ratios``, DPIP's speed by the limit's."""

    pictures: int
    limit: Speed
    dpip: Speed
    ratio: float
    ratios: tuple[float, ...]
    outputs: Outputs


class Side(Struct, frozen=True, kw_only=True):
    """One of the two that are compared: ``run`` filters ``pictures`` and returns the seconds.

    All targets are below ``out``.
    """

    out: Path
    pictures: Sequence[Picture]
    run: Callable[[], float]


def compare(limit: Side, dpip: Side, *, rounds: int, on_round: Callable[[int], None]) -> Comparison:
    """Let both run once to warm up, and then in turns for ``rounds`` rounds.

    Before every run its folder is empty and what was written before is on the disk; ``on_round`` is
    called with the number of the round that begins, 0 for the warm-up.
    """
    seconds: dict[str, list[float]] = {"limit": [], "dpip": []}
    for number in range(rounds + 1):
        on_round(number)
        for name, side in (("limit", limit), ("dpip", dpip)):
            _prepare(side)
            taken = side.run()
            if number > 0:
                seconds[name].append(taken)
    pairs = zip(seconds["limit"], seconds["dpip"], strict=True)
    ratios = tuple(bare / whole for bare, whole in pairs)
    count = len(limit.pictures)
    return Comparison(
        pictures=count,
        limit=_speed(count, seconds["limit"]),
        dpip=_speed(count, seconds["dpip"]),
        ratio=median(ratios),
        ratios=ratios,
        outputs=_outputs(limit.pictures, dpip.pictures),
    )


def _prepare(side: Side) -> None:
    shutil.rmtree(side.out, ignore_errors=True)
    for folder in {picture.target.parent for picture in side.pictures}:
        folder.mkdir(parents=True, exist_ok=True)
    os.sync()


def _speed(pictures: int, seconds: Sequence[float]) -> Speed:
    return Speed(
        pictures_per_second=_spread([pictures / taken for taken in seconds]),
        milliseconds_a_picture=_spread([1000 * taken / pictures for taken in seconds]),
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median=median(values), least=min(values), most=max(values))


def _outputs(limit: Sequence[Picture], dpip: Sequence[Picture]) -> Outputs:
    pairs = [(bare.target, whole.target) for bare, whole in zip(limit, dpip, strict=True)]
    return Outputs(
        limit=sum(bare.exists() for bare, _ in pairs),
        dpip=sum(whole.exists() for _, whole in pairs),
        different=sum(
            not filecmp.cmp(bare, whole, shallow=False)
            for bare, whole in pairs
            if bare.exists() and whole.exists()
        ),
    )
