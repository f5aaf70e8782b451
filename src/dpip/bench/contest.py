"""Contenders take turns at the same pictures, so that whatever drifts drifts for all of them."""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

from msgspec import Struct

from dpip.bench.limit import Trial
from dpip.bench.outputs import Judgement, Reference
from dpip.client.folder import plan_batch
from dpip.client.targets import Picture
from dpip.errors import DpipError

LIMIT, DPIP = "limit", "dpip"

_SAMPLE = 12
_SLOW = 5
"""Times the limit's time after which one turn tells enough."""


class CannotTakePart(DpipError):
    """A contender that cannot be started here, or cannot do what is asked for."""

    code = "cannot_take_part"
    sentence = "{name} is left out: {reason}."


class NothingToMeasure(DpipError):
    """A folder in which there is no picture that can be filtered."""

    code = "nothing_to_measure"
    sentence = "None of the {count} pictures in {folder} can be filtered by {filter}."


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

    ``of_limit`` is its speed by that of the limit in the same round; of one that is slow, and has
    one turn only, by the median of the limit.
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
    chose its ways. ``unfit`` are files that cannot be filtered, which nobody was given.
    """

    mix: str
    filter: str
    unfit: tuple[str, ...]
    pictures: int
    bytes: int
    rounds: int
    ratio: float
    trials: tuple[Trial, ...] = ()
    results: tuple[Result, ...]
    left_out: tuple[LeftOut, ...]


class Contest(Struct, frozen=True, kw_only=True):
    """What all contenders are given: the pictures of ``folder`` that are not ``unfit``.

    The folder is called ``mix``.
    """

    mix: str
    folder: Path
    filter: str
    scratch: Path
    rounds: int
    unfit: frozenset[Path]


def compete(
    contest: Contest, contenders: Sequence[Contender], on_turn: Callable[[int, str], None]
) -> Comparison:
    """Let each filter the folder once to warm up, then all in turns for as many rounds.

    Every round begins with another contender. Before a turn its folder is empty, and what was
    written before is on the disk. Whoever takes many times as long as the limit to warm up has one
    more turn, which is its result. ``on_turn`` is called with the round, 0 for the warm-up, and the
    name. Raises what the limit and DPIP raise; of others, who cannot take part is left out.
    """
    field = _Contenders(contest, contenders, on_turn)
    field.warm_up()
    for number in range(1, contest.rounds + 1):
        field.take_turns(number)
    return field.compared()


class _Contenders:
    """Who takes part, their pictures, and the seconds of their turns so far."""

    def __init__(
        self,
        contest: Contest,
        contenders: Sequence[Contender],
        on_turn: Callable[[int, str], None],
    ) -> None:
        self._contest = contest
        self._on_turn = on_turn
        self._pictures = {one.name: _pictures(contest, one.name) for one in contenders}
        self._seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
        self._taking_part = list(contenders)
        self._slow: list[Contender] = []
        self._left_out: list[LeftOut] = []

    def warm_up(self) -> None:
        """Let each take a turn that does not count, and those that are slow the one that does."""
        limit = math.inf
        for contender in list(self._taking_part):
            taken = self._turn(0, contender)
            if contender.name == LIMIT:
                limit = taken
            elif contender.name != DPIP and _SLOW * limit < taken < math.inf:
                taken = self._turn(1, contender)
                if taken < math.inf:
                    self._taking_part.remove(contender)
                    self._slow.append(contender)
                    self._seconds[contender.name].append(taken)

    def take_turns(self, number: int) -> None:
        """Let each have its turn of this round."""
        first = number % len(self._taking_part)
        for contender in [*self._taking_part[first:], *self._taking_part[:first]]:
            self._seconds[contender.name].append(self._turn(number, contender))

    def compared(self) -> Comparison:
        """What came of it."""
        contest = self._contest
        reference = Reference(_pictures(contest, "reference"), contest.filter, _SAMPLE)
        limit = self._seconds[LIMIT]
        results = [
            _result(one, self._seconds[one.name], limit, reference.judge(self._pictures[one.name]))
            for one in [*self._taking_part, *self._slow]
        ]
        sources = [picture.source for picture in self._pictures[LIMIT]]
        return Comparison(
            mix=contest.mix,
            filter=contest.filter,
            unfit=tuple(sorted(map(str, contest.unfit))),
            pictures=len(sources),
            bytes=sum(source.stat().st_size for source in sources),
            rounds=contest.rounds,
            ratio=next(result.of_limit.median for result in results if result.name == DPIP),
            results=tuple(results),
            left_out=tuple(self._left_out),
        )

    def _turn(self, number: int, contender: Contender) -> float:
        """The seconds of one turn; endless for one that is left out from now on."""
        self._on_turn(number, contender.name)
        pictures = self._pictures[contender.name]
        shutil.rmtree(self._contest.scratch / contender.name, ignore_errors=True)
        for folder in {picture.target.parent for picture in pictures}:
            folder.mkdir(parents=True, exist_ok=True)
        os.sync()
        try:
            taken = contender.filter(pictures, self._contest.filter)
            if contender.name not in (LIMIT, DPIP):
                self._demand_pictures_of(contender)
        except CannotTakePart as refusal:
            if contender.name in (LIMIT, DPIP):
                raise
            self._taking_part.remove(contender)
            reason = str(refusal.facts["reason"])
            self._left_out.append(LeftOut(name=contender.name, reason=reason))
            return math.inf
        return taken

    def _demand_pictures_of(self, contender: Contender) -> None:
        """Raise ``CannotTakePart`` if there are fewer pictures than came out of the limit."""
        made, possible = (_made(self._pictures[name]) for name in (contender.name, LIMIT))
        if made < possible:
            reason = f"{possible - made} of {possible} pictures did not come out"
            raise CannotTakePart(name=contender.name, reason=reason)


def _made(pictures: Sequence[Picture]) -> int:
    return sum(picture.target.exists() for picture in pictures)


def _pictures(contest: Contest, name: str) -> tuple[Picture, ...]:
    pictures = plan_batch([contest.folder], contest.scratch / name).pictures
    return tuple(picture for picture in pictures if picture.source not in contest.unfit)


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
