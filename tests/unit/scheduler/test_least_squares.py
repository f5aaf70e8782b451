import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.scheduler.least_squares import LEAST_WEIGHT, MOST_WEIGHT, LeastSquares

PARTS = st.tuples(*[st.floats(min_value=1e-3, max_value=1e9)] * 3)
OBSERVED = st.floats(allow_nan=True, allow_infinity=True)


def some_parts(seed: int, count: int) -> list[tuple[float, float, float]]:
    choose = random.Random(seed)
    return [(1.0, 10 ** choose.uniform(-1, 3), 10 ** choose.uniform(-1, 3)) for _ in range(count)]


def test_weights_are_those_that_the_observations_were_made_with() -> None:
    """Each part has its own."""
    learned = LeastSquares.of(3)
    for parts in some_parts(seed=1, count=200):
        learned = learned.learned(parts, 2.0 * parts[0] + 0.5 * parts[1] + 3.0 * parts[2])
    assert learned.weights == pytest.approx((2.0, 0.5, 3.0), rel=0.05)


def test_one_observation_says_that_all_parts_are_slow() -> None:
    """A slow machine is slow at what has not been seen yet too."""
    learned = LeastSquares.of(3).learned((1.0, 100.0, 1.0), 3 * 102.0)
    assert learned.expect((1.0, 1.0, 100.0)) > 1.5 * 102


def test_what_has_changed_is_learned_anew() -> None:
    """Old observations are forgotten in time."""
    learned = LeastSquares.of(3)
    for parts in some_parts(seed=1, count=2000):
        learned = learned.learned(parts, sum(parts))
    for parts in some_parts(seed=2, count=500):
        learned = learned.learned(parts, 2 * sum(parts))
    assert learned.expect((1.0, 10.0, 10.0)) == pytest.approx(42, rel=0.05)


@given(st.lists(st.tuples(PARTS, OBSERVED), max_size=30), PARTS, OBSERVED, PARTS)
def test_an_observation_moves_any_expectation_by_a_bounded_factor(
    before: list[tuple[tuple[float, ...], float]],
    parts: tuple[float, ...],
    observed: float,
    asked: tuple[float, ...],
) -> None:
    """Whatever it is, and whatever was seen before it."""
    learned = LeastSquares.of(3)
    for earlier_parts, earlier in before:
        learned = learned.learned(earlier_parts, earlier)
    after = learned.learned(parts, observed)
    assert 0.499 < after.expect(asked) / learned.expect(asked) < 2.001
    assert all(LEAST_WEIGHT <= weight <= MOST_WEIGHT for weight in after.weights)
    assert math.isfinite(after.deviation)


@pytest.mark.parametrize(("observed", "least", "most"), [(1e-9, 0.5, 1.0), (math.inf, 1.0, 2.0)])
def test_a_weight_that_nothing_is_known_of_moves_no_further(
    observed: float, least: float, most: float
) -> None:
    """Also where it is a small part of what was observed, and all is put down to it."""
    doubts = ((20.0, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01))
    learned = LeastSquares((1.0, 1.0, 1.0), doubts).learned((2.0, 4.0, 4.0), observed)
    assert all(least <= weight <= most for weight in learned.weights)


def test_observations_above_the_expected_make_it_less_sure() -> None:
    """Those below it do not: it is about what may be too little."""
    steady = below = above = LeastSquares.of(3)
    for number, parts in enumerate(some_parts(seed=3, count=400)):
        total = sum(parts)
        steady = steady.learned(parts, total)
        below = below.learned(parts, total * (0.3 if number % 20 == 0 else 1.0))
        above = above.learned(parts, total * (2.0 if number % 20 == 0 else 1.0))
    assert steady.deviation < above.deviation
    assert below.deviation < above.deviation
