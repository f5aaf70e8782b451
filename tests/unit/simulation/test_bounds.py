"""What the time to finish everything is compared with, worked out by hand."""

import pytest

from dpip.simulation.bounds import TERM_SECONDS, at_random, lower_bound, round_robin
from dpip.simulation.scenario import Life
from tests.unit.simulation.scenarios import scenario, worker


def test_the_bound_is_all_work_by_all_slots() -> None:
    """Twelve seconds of work, at three seconds' worth a second, take four."""
    given = scenario(worker("a", slots=1), worker("b", speed=2.0), seconds=[1.0] * 12)
    assert lower_bound(given) == pytest.approx(4.0)


def test_the_bound_counts_who_is_there() -> None:
    """While one of two is away, only the other works."""
    away = worker("a", lives=(Life(0.0, 1.0), Life(3.0, 1e9)))
    # Two seconds' worth by 1 s, two more by 3 s, and the last two together by 4 s.
    assert lower_bound(scenario(away, worker("b"), seconds=[1.0] * 6)) == pytest.approx(4.0)


def test_the_bound_is_the_longest_job_at_least() -> None:
    """No job is done faster than the fastest machine does it, after it has come."""
    given = scenario(worker("a", slots=9), worker("b", speed=2.0, slots=9), seconds=[8.0, 1.0])
    assert lower_bound(given) == pytest.approx(4.0)
    given.jobs.arrival[1] = 10.0
    assert lower_bound(given) == pytest.approx(10.5)


def test_in_turn_the_slow_worker_gets_as_much_as_the_fast_one() -> None:
    """Of eight seconds of work each does half, the slow one in eight."""
    given = scenario(worker("a", speed=0.5), worker("b", speed=2.0), seconds=[1.0] * 8)
    assert round_robin(given) == pytest.approx(8.0)


def test_what_dies_with_its_worker_is_bound_anew() -> None:
    """The job is begun again once the term of its lease is over, by who is there then."""
    dies = worker("a", lives=(Life(0.0, 2.0), Life(100.0, 1e9)))
    given = scenario(dies, worker("b"), seconds=[5.0, 1.0])
    assert round_robin(given) == pytest.approx(2.0 + TERM_SECONDS + 5.0)


def test_chance_is_drawn_by_the_seed() -> None:
    """The same scenario gives the same, which is no better than the bound."""
    given = scenario(worker("a"), worker("b"), worker("c"), seconds=[1.0, 2.0, 3.0] * 5)
    assert at_random(given) == at_random(given) >= lower_bound(given)
