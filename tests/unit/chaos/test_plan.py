"""The plan of faults."""

from collections import Counter

import pytest

from dpip.chaos.plan import Fault, Kind, Target, parse_targets, plan_faults
from dpip.errors import InvalidValue


def plan(
    *, jobs: int = 10_000, seed: int = 1, kill: str = ",".join(Target), rate: float = 3.0
) -> tuple[Fault, ...]:
    targets = parse_targets(kill)
    return plan_faults(jobs=jobs, seed=seed, targets=targets, rate=rate, workers=4, term=6.0)


def test_a_seed_replays_its_plan() -> None:
    """Another seed has another one."""
    assert plan(seed=5) == plan(seed=5)
    assert plan(seed=5) != plan(seed=6)


def test_workers_are_hit_ten_times_as_often() -> None:
    """Three faults for every hundred of 10,000 jobs: 200 on workers, 20 on each other target."""
    counts = Counter(fault.target for fault in plan())
    assert counts.pop(Target.WORKER) == 200
    assert counts == dict.fromkeys(counts, 20)
    assert len(counts) == 5


@pytest.mark.parametrize("kill", ["worker", "api,nats", "worker,network", ",".join(Target)])
@pytest.mark.parametrize("jobs", [1, 99, 1234])
def test_the_number_of_faults_is_the_rates(kill: str, jobs: int) -> None:
    """Whatever is hit, and only that is hit."""
    faults = plan(jobs=jobs, kill=kill, rate=7)
    assert len(faults) == round(jobs * 7 / 100)
    assert {fault.target for fault in faults} <= set(parse_targets(kill))


def test_faults_come_in_the_order_in_which_they_are_due() -> None:
    """Before the last jobs are done, and now and then several together."""
    moments = [fault.after for fault in plan()]
    assert moments == sorted(moments)
    assert moments[-1] < 10_000
    assert len(set(moments)) < len(moments)


def test_workers_are_frozen_for_longer_than_a_lease() -> None:
    """So that others have their jobs when they come back."""
    frozen = [fault for fault in plan() if fault.kind is Kind.FREEZE]
    assert len(frozen) == 50
    assert all(fault.target is Target.WORKER and fault.seconds > 6.0 for fault in frozen)


def test_partitions_are_cut_in_every_direction() -> None:
    """Both ways, to the servers alone, and to the worker alone."""
    cuts = Counter(fault.kind for fault in plan() if fault.target is Target.NETWORK)
    assert set(cuts) == {Kind.CUT, Kind.CUT_TO_SERVERS, Kind.CUT_TO_WORKER}
    assert min(cuts.values()) >= 6


def test_an_unknown_target_is_named() -> None:
    """With those that there are."""
    with pytest.raises(InvalidValue, match=r"'database'.*worker, scheduler"):
        parse_targets("worker,database")
