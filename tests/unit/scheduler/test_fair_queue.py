"""Whose turn it is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dpip.scheduler.fair_queue import FairQueue


def served(queue: FairQueue[str], costs: dict[str, float], turns: int) -> Counter[str]:
    """What each has got after so many turns, each of its cost."""
    got: Counter[str] = Counter()
    for _ in range(turns):
        first = queue.first()
        assert first is not None
        queue.charge(first, costs[first])
        got[first] += costs[first]  # type: ignore[assignment]
    return got


def test_equals_take_turns() -> None:
    """However many jobs each has."""
    queue: FairQueue[str] = FairQueue()
    for flow in "abc":
        queue.put(flow, 1)
    assert served(queue, dict.fromkeys("abc", 1.0), 9) == {"a": 3, "b": 3, "c": 3}


def test_what_counts_is_what_jobs_cost() -> None:
    """Who has large ones gets fewer."""
    queue: FairQueue[str] = FairQueue()
    queue.put("large", 1)
    queue.put("small", 1)
    got = served(queue, {"large": 10.0, "small": 1.0}, 220)
    assert abs(got["large"] - got["small"]) <= 10


def test_twice_the_weight_is_twice_as_much() -> None:
    """For as long as both have something to do."""
    queue: FairQueue[str] = FairQueue()
    queue.put("heavy", 2)
    queue.put("light", 1)
    assert served(queue, {"heavy": 1.0, "light": 1.0}, 30) == {"heavy": 20, "light": 10}


def test_a_newcomer_goes_next() -> None:
    """Whatever the others have got, and it does not make up for the time before."""
    queue: FairQueue[str] = FairQueue()
    queue.put("batch", 1)
    served(queue, {"batch": 1.0}, 1000)
    queue.put("single", 1)
    assert queue.first() == "single"
    got = served(queue, {"batch": 1.0, "single": 1.0}, 20)
    assert abs(got["single"] - got["batch"]) <= 2


def test_who_comes_back_has_not_saved_up() -> None:
    """Nor is what it was ahead by forgotten."""
    queue: FairQueue[str] = FairQueue()
    queue.put("a", 1)
    queue.put("b", 1)
    queue.charge("a", 100.0)
    queue.remove("a")
    queue.put("a", 1)
    assert served(queue, {"a": 1.0, "b": 1.0}, 100) == {"b": 100}


def test_who_is_passed_over_keeps_the_turn() -> None:
    """For the next round."""
    queue: FairQueue[str] = FairQueue()
    queue.put("a", 1)
    queue.put("b", 1)
    assert queue.first() == "a"
    queue.pass_over()
    assert queue.first() == "b"
    queue.pass_over()
    assert queue.first() is None
    queue.resume()
    assert queue.first() == "a"


def test_the_memory_of_who_has_gone_is_bounded() -> None:
    """A service that has had a million workloads does not remember each."""
    queue: FairQueue[str] = FairQueue()
    queue.put("stays", 1)
    for number in range(1000):
        queue.put(str(number), 1)
        queue.charge(str(number), 1.0)
        queue.remove(str(number))
        queue.charge("stays", 2.0)
    assert len(queue._starts) < 200


@given(
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5), min_size=2),
    cost=st.floats(0.1, 10),
)
def test_nobody_is_ahead_by_more_than_a_job(weights: dict[str, int], cost: float) -> None:
    """Of its weighted share, of any two who both wait all the time (Goyal, Vin and Cheng)."""
    queue: FairQueue[str] = FairQueue()
    for flow, weight in weights.items():
        queue.put(flow, weight)
    got = served(queue, dict.fromkeys(weights, cost), 200)
    for one, weight in weights.items():
        for other, others in weights.items():
            ahead = got[one] / weight - got[other] / others
            assert ahead <= cost / weight + cost / others + 1e-6
