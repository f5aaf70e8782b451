"""The figures of a report, worked out by hand."""

import pytest

from dpip.simulation.report import jain, percentile


def test_jains_index_is_one_for_equal_shares() -> None:
    """It is 1 if all have the same, and one part of the number if one has everything."""
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([6.0, 0.0, 0.0]) == pytest.approx(1 / 3)
    assert jain([1.0, 2.0]) == pytest.approx(0.9)


def test_a_percentile_is_one_of_the_values() -> None:
    """It is the least that so many do not exceed."""
    values = [float(value) for value in range(1, 11)]
    assert [percentile(values, percent) for percent in (10, 50, 90, 99, 100)] == [1, 5, 9, 10, 10]
    assert percentile([], 50) == 0
