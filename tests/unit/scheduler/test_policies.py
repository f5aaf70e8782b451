"""Which of the workers that can take a job is to get it, a scenario each."""

from collections.abc import Sequence

import pytest

from dpip.errors import BadSetting
from dpip.model.worker import Resources
from dpip.scheduler.node import Machine, Node
from dpip.scheduler.policies import BUILT_IN, Policy, bin_pack, least_loaded, policy_named, spread
from dpip.scheduler.ranking import Ranking
from tests.unit.scheduler.nodes import GIB, node


def order(policy: Policy, workers: Sequence[Node]) -> list[str]:
    """Names of the workers as they would be chosen, if none of them changed."""
    ranking = Ranking(policy)
    for worker in workers:
        ranking.put(worker)
    names: list[str] = []
    while True:
        best, _ = ranking.best(lambda _: True, lambda _: 0, idle_only=False)
        if best is None:
            return names
        names.append(best.name)
        ranking.drop(best)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (node("a"), node("b", cpu=0.5)),
        (node("a"), node("b", memory_available=GIB // 2)),
        (node("a", gpu=0.1), node("b", gpu=0.9)),
        (node("a"), node("b", pace=2.0)),
        (node("a", slots=4, in_hand=1), node("b", slots=4, in_hand=2)),
        (node("a", slots=8, in_hand=2), node("b", slots=2, in_hand=1)),
        (node("a", slots=2, in_hand=1, milliseconds=10), node("b", slots=4, in_hand=1)),
        (node("a", cpu=1.0, slots=2), node("b", slots=2, in_hand=1)),
    ],
    ids=["cpu", "memory", "gpu", "speed", "jobs", "share of slots", "what is left", "idle first"],
)
def test_least_loaded_goes_by_what_is_left_to_do(first: Node, then: Node) -> None:
    """Then by speed and load."""
    assert order(least_loaded, [then, first]) == ["a", "b"]


def test_bin_pack_fills_a_machine_before_it_begins_another() -> None:
    """The busiest machine with room goes first, and an empty one last."""
    half = Machine(name="half")
    workers = [
        node("empty", slots=4),
        node("half-1", slots=2, in_hand=1, machine=half),
        node("half-2", slots=2, machine=half),
        node("nearly-full", slots=4, in_hand=3),
    ]
    assert order(bin_pack, workers)[0] == "nearly-full"
    assert order(bin_pack, workers)[-1] == "empty"


def test_spread_goes_to_the_emptiest_machine() -> None:
    """What is on other workers of a machine counts."""
    crowded = Machine(name="crowded")
    node("busy", slots=4, in_hand=4, machine=crowded)
    workers = [node("idle-among-busy", slots=4, machine=crowded), node("alone", slots=4, in_hand=1)]
    assert order(spread, workers) == ["alone", "idle-among-busy"]
    assert order(least_loaded, workers) == ["idle-among-busy", "alone"]


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=BUILT_IN)
def test_an_idle_slot_comes_before_any_queue(policy: Policy) -> None:
    """A loaded worker that can begin now is better than one where the job would wait."""
    loaded = node("loaded", slots=2, in_hand=1, cpu=1.0, memory_available=0, milliseconds=9e6)
    assert order(policy, [node("full", prefetch=9, in_hand=1), loaded]) == ["loaded", "full"]


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=BUILT_IN)
def test_a_reading_of_nothing_can_be_ranked(policy: Policy) -> None:
    """It is of no use, and does no harm."""
    worker = node()
    worker.resources = Resources(cpu=0, cores=1, memory_total=0, memory_available=0)
    assert len(policy(worker)) > 0


def test_policies_have_names() -> None:
    """Those that are built in."""
    assert policy_named("least_loaded") is least_loaded
    assert policy_named("bin_pack") is bin_pack
    assert policy_named("spread") is spread


def test_a_policy_that_is_not_there_is_refused() -> None:
    """With the names of those that are."""
    with pytest.raises(BadSetting, match="least_loaded, bin_pack, spread"):
        policy_named("roundest")


def test_a_package_may_bring_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an entry point, which is what it is named."""

    class Entry:
        name = "alphabetical"

        def load(self) -> Policy:
            return lambda worker: (float(ord(worker.name[0])),)

    monkeypatch.setattr("dpip.scheduler.policies.entry_points", lambda group: [Entry()])
    workers = [node("c"), node("a"), node("b")]
    assert order(policy_named("alphabetical"), workers) == ["a", "b", "c"]
