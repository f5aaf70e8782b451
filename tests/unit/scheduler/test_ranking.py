"""The heaps give what looking at each worker would."""

from hypothesis import given
from hypothesis import strategies as st

from dpip.scheduler.node import Node
from dpip.scheduler.policies import least_loaded
from dpip.scheduler.ranking import Ranking
from tests.unit.scheduler.nodes import node

fleets = st.lists(
    st.builds(
        node,
        name=st.text("abcdef", min_size=1, max_size=3),
        tags=st.frozensets(st.sampled_from(["gpu", "fast"])),
        slots=st.integers(1, 4),
        in_hand=st.integers(0, 6),
        cpu=st.floats(0, 1),
    ),
    max_size=8,
    unique_by=lambda each: each.name,
)


def lacking(worker: Node) -> int:
    return len({"gpu"} - worker.tags)


@given(fleets, st.integers(0, 5))
def test_the_best_is_that_of_all(workers: list[Node], least: int) -> None:
    """Among those that fit, with an idle slot first, then by penalty, then by rank."""
    ranking = Ranking(least_loaded)
    for worker in workers:
        ranking.put(worker)

    def fits(worker: Node) -> bool:
        return len(worker.in_hand) >= least

    best, second = ranking.best(fits, lacking, idle_only=False)
    key = {w.name: (not w.has_idle_slot, lacking(w), least_loaded(w)) for w in workers if fits(w)}
    if best is None:
        assert not key
    else:
        assert key[best.name] == min(key.values())
    assert second is None or fits(second)


@given(fleets)
def test_who_is_dropped_is_not_found(workers: list[Node]) -> None:
    """Until it is put in again, as it is then."""
    ranking = Ranking(least_loaded)
    for worker in workers:
        ranking.put(worker)
        ranking.put(worker)
        ranking.drop(worker)
    assert ranking.best(lambda _: True, lacking, idle_only=False) == (None, None)
    assert len(ranking) == 0


def test_a_worker_that_changes_moves() -> None:
    """Its former place is passed over."""
    ranking = Ranking(least_loaded)
    first, second = node("first", slots=9), node("second", slots=9, in_hand=1)
    for worker in (first, second):
        ranking.put(worker)
    first.milliseconds = 1e9
    ranking.put(first)
    best, after = ranking.best(lambda _: True, lambda _: 0, idle_only=False)
    assert (best, after) == (second, first)


def test_at_the_end_only_idle_slots_count() -> None:
    """Who could fetch ahead is not asked."""
    ranking = Ranking(least_loaded)
    ranking.put(node("full", slots=1, in_hand=1, prefetch=1))
    assert ranking.best(lambda _: True, lambda _: 0, idle_only=True) == (None, None)


def test_profiles_that_nobody_has_are_forgotten() -> None:
    """A worker may change its tags as often as it likes."""
    ranking = Ranking(least_loaded)
    for number in range(1000):
        ranking.put(node("w", tags=frozenset({str(number)})))
    ranking.best(lambda _: True, lambda _: 0, idle_only=False)
    assert len(ranking._heaps) == 1
