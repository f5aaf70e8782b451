"""Contenders take turns at the same pictures, so that whatever drifts drifts for all of them."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

from msgspec import Struct

from dpip.bench.limit import Trial
from dpip.bench.outputs import Judgement, Reference
from dpip.client.batch import Picture
from dpip.client.folder import plan_batch
from dpip.errors import DpipError

LIMIT, DPIP = "limit", "dpip"

_SAMPLE = 12
_SLOW = 5
"""Times the limit's time after which one turn tells enough."""


class CannotTakePart(DpipError):
    """A contender that cannot be started here, or cannot do what is asked for."""

    code = "cannot_take_part"
    sentence = "{name} is left out: {reason}."


class Contender(Protocol):
    """Whoever can filter a folder of pictures, started and warm."""

    @property
    def name(self) -> str:
        """What it is called, as a folder may be."""
        ...

    @property
    def how(self) -> str:
        """Version and settings, in a line."""
        ...

    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        """Filter every picture to its target and return the seconds; the folders are there.

        Raises ``CannotTakePart`` for a filter that it does not have.
        """
        ...


class Spread(Struct, frozen=True, kw_only=True):
    """A figure over all rounds."""

    median: float
    least: float
    most: float


class Result(Struct, frozen=True, kw_only=True):
    """How a contender did; ``milliseconds_a_picture`` is wall time with all cores at work.

    ``of_limit`` is its speed by that of the limit in the same round. Whoever is slow has one turn.
    """

    name: str
    how: str
    turns: int
    pictures_per_second: Spread
    milliseconds_a_picture: Spread
    of_limit: Spread
    outputs: Judgement


class LeftOut(Struct, frozen=True, kw_only=True):
    """Who did not take part, and why."""

    name: str
    reason: str


class Comparison(Struct, frozen=True, kw_only=True):
    """What was measured with one folder and one filter, the limit first.

    ``ratio`` is DPIP's speed by the limit's, the median of all rounds. In ``trials`` the limit
    chose its ways.
    """

    mix: str
    filter: str
    pictures: int
    bytes: int
    rounds: int
    ratio: float
    trials: tuple[Trial, ...] = ()
    results: tuple[Result, ...]
    left_out: tuple[LeftOut, ...]


class Contest(Struct, frozen=True, kw_only=True):
    """What all contenders are given: the pictures of ``folder``, which are called ``mix``."""

    mix: str
    folder: Path
    filter: str
    scratch: Path
    rounds: int


def compete(
    contest: Contest, contenders: Sequence[Contender], on_turn: Callable[[int, str], None]
) -> Comparison:
    """Let each filter the folder once to warm up, then all in turns for as many rounds.

    Every round begins with another contender. Before a turn its folder is empty, and what was
    written before is on the disk. Whoever takes many times as long as the limit has no further
    turn: the one is its result. ``on_turn`` is called with the round, 0 for the warm-up, and the
    name. Raises what the limit and DPIP raise; of others, who cannot take part is left out.
    """
    tasks = {one.name: _pictures(contest, one.name) for one in contenders}
    first_turns: dict[str, float] = {}
    left_out = []
    for contender in contenders:
        on_turn(0, contender.name)
        try:
            first_turns[contender.name] = _turn(contest, contender, tasks[contender.name])
            _demand_pictures(contender.name, tasks[contender.name])
        except CannotTakePart as refusal:
            if contender.name in (LIMIT, DPIP):
                raise
            first_turns.pop(contender.name, None)
            left_out.append(LeftOut(name=contender.name, reason=str(refusal.facts["reason"])))
    slow = {name for name, taken in first_turns.items() if taken > _SLOW * first_turns[LIMIT]}
    slow -= {DPIP}
    seconds = {name: [taken] if name in slow else [] for name, taken in first_turns.items()}
    in_turns = [one for one in contenders if one.name in first_turns and one.name not in slow]
    for number in range(1, contest.rounds + 1):
        first = number % len(in_turns)
        for contender in [*in_turns[first:], *in_turns[:first]]:
            on_turn(number, contender.name)
            taken = _turn(contest, contender, tasks[contender.name])
            seconds[contender.name].append(taken)
    reference = Reference(_pictures(contest, "reference"), contest.filter, _SAMPLE)
    results = [
        _result(one, seconds[one.name], seconds[LIMIT], reference.judge(tasks[one.name]))
        for one in contenders
        if one.name in seconds
    ]
    sources = [picture.source for picture in tasks[LIMIT]]
    return Comparison(
        mix=contest.mix,
        filter=contest.filter,
        pictures=len(sources),
        bytes=sum(source.stat().st_size for source in sources),
        rounds=contest.rounds,
        ratio=next(result.of_limit.median for result in results if result.name == DPIP),
        results=tuple(results),
        left_out=tuple(left_out),
    )


def _demand_pictures(name: str, pictures: Sequence[Picture]) -> None:
    missing = sum(not picture.target.exists() for picture in pictures)
    if missing and name not in (LIMIT, DPIP):
        raise CannotTakePart(name=name, reason=f"{missing} of {len(pictures)} pictures are missing")


def _pictures(contest: Contest, name: str) -> tuple[Picture, ...]:
    return plan_batch([contest.folder], contest.scratch / name).pictures


def _turn(contest: Contest, contender: Contender, pictures: Sequence[Picture]) -> float:
    shutil.rmtree(contest.scratch / contender.name, ignore_errors=True)
    for folder in {picture.target.parent for picture in pictures}:
        folder.mkdir(parents=True, exist_ok=True)
    os.sync()
    return contender.filter(pictures, contest.filter)


def _result(
    contender: Contender, own: Sequence[float], limit: Sequence[float], outputs: Judgement
) -> Result:
    count = outputs.expected
    pairs = zip(limit, own, strict=True) if len(own) == len(limit) else [(median(limit), *own)]
    return Result(
        name=contender.name,
        how=contender.how,
        turns=len(own),
        pictures_per_second=_spread([count / taken for taken in own]),
        milliseconds_a_picture=_spread([1000 * taken / count for taken in own]),
        of_limit=_spread([bare / taken for bare, taken in pairs]),
        outputs=outputs,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median=median(values), least=min(values), most=max(values))
