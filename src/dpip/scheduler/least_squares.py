"""Recursive least squares: weights that are learned one observation at a time."""

import math
from collections.abc import Sequence
from operator import mul
from typing import Annotated, Self

from msgspec import Meta, Struct
from msgspec.structs import replace

LEAST_WEIGHT, MOST_WEIGHT = 1 / 64, 64.0
_AT_FIRST, _HAVING_BEGUN, _MOST_DOUBT = 3.0, 2.0, 20.0
_SHARED = 0.8
_FORGETTING = 0.99
_MOST_SURPRISE = 2.0
_DEVIATION_AT_FIRST, _LEAST_DEVIATION = 0.15, 0.05
_DEVIATION_MEMORY = 0.02

Weight = Annotated[float, Meta(ge=LEAST_WEIGHT, le=MOST_WEIGHT)]
Doubt = Annotated[float, Meta(ge=-_MOST_DOUBT, le=_MOST_DOUBT)]
Deviation = Annotated[float, Meta(ge=0, le=MOST_WEIGHT)]


class LeastSquares(Struct, frozen=True):
    """A sum of parts, each of which counts by a weight that is learned.

    The exponentially weighted recursive least squares of Haykin, *Adaptive Filter Theory*, chapter
    on the RLS algorithm, with two changes. Errors count relative to the sum of the parts, as what
    varies in a large picture varies more. And an observation counts as ``_MOST_SURPRISE`` times
    what was expected, or that part of it, at most: one that is absurd moves the weights by a
    bounded factor. ``doubts`` is the covariance of ``weights``, row by row, in units of the noise:
    most of it is shared, because a slow machine is slow at every part. ``deviation`` is the
    root mean square of what observations were above the expected, as a part of that.
    """

    weights: tuple[Weight, ...]
    doubts: tuple[tuple[Doubt, ...], ...]
    deviation: Deviation = _DEVIATION_AT_FIRST

    @classmethod
    def of(cls, parts: int) -> Self:
        """Begin with every one of ``parts`` parts as it is assumed."""
        return cls((1.0,) * parts, _doubts(parts, _AT_FIRST))

    @property
    def parts(self) -> int | None:
        """The number of parts; ``None`` if weights and doubts are not of as many."""
        sizes = {len(self.weights), len(self.doubts), *map(len, self.doubts)}
        return sizes.pop() if len(sizes) == 1 else None

    def doubted(self, factor: float) -> Self:
        """These weights times ``factor``, to be learned anew."""
        weights = tuple(_within(factor * each, LEAST_WEIGHT, MOST_WEIGHT) for each in self.weights)
        return replace(self, weights=weights, doubts=_doubts(len(weights), _HAVING_BEGUN))

    def expect(self, parts: Sequence[float]) -> float:
        """The weighted sum of ``parts``."""
        expected: float = sum(map(mul, self.weights, parts))
        return expected

    def learned(self, parts: Sequence[float], observed: float) -> Self:
        """What is known after ``observed`` was seen where ``expect(parts)`` was expected.

        One that is not above 0, or no number, teaches nothing.
        """
        if not observed > 0:
            return self
        total = sum(parts)
        shares = [part / total for part in parts]
        expected = self.expect(shares)
        seen = min(max(observed / total, expected / _MOST_SURPRISE), expected * _MOST_SURPRISE)
        doubted = [sum(map(mul, row, shares)) for row in self.doubts]
        spread = _FORGETTING + max(0.0, sum(map(mul, doubted, shares)))
        error = seen - expected
        weights = tuple(
            _within(
                weight + gain / spread * error,
                max(LEAST_WEIGHT, weight / _MOST_SURPRISE),
                min(MOST_WEIGHT, weight * _MOST_SURPRISE),
            )
            for weight, gain in zip(self.weights, doubted, strict=True)
        )
        variance = self.deviation**2
        # Twice, for those below the expected that do not count: alike, were they spread evenly.
        variance += _DEVIATION_MEMORY * (2 * max(0.0, error / expected) ** 2 - variance)
        return replace(
            self,
            weights=weights,
            doubts=self._doubts_after(doubted, spread),
            deviation=max(math.sqrt(variance), _LEAST_DEVIATION),
        )

    def _doubts_after(
        self, doubted: Sequence[float], spread: float
    ) -> tuple[tuple[float, ...], ...]:
        reduced = [
            [doubt - gain * other / spread for doubt, other in zip(row, doubted, strict=True)]
            for row, gain in zip(self.doubts, doubted, strict=True)
        ]
        # Forgetting makes all doubts grow, those for what is never seen without end.
        largest = max(row[i] for i, row in enumerate(reduced))
        growth = 1 / _FORGETTING if largest < _FORGETTING * _MOST_DOUBT else 1.0
        return tuple(
            tuple(_within(growth * doubt, -_MOST_DOUBT, _MOST_DOUBT) for doubt in row)
            for row in reduced
        )


def _doubts(parts: int, doubt: float) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(doubt if i == j else _SHARED * doubt for j in range(parts)) for i in range(parts)
    )


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
