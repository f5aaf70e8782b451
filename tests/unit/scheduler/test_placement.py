import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.model.worker import Resources
from dpip.scheduler.fleet import Node
from dpip.scheduler.placement import EVERY_JOB, Demand, infeasibility, place, rank
from tests.unit.scheduler.nodes import GIB, jobs, node

# Who can take a job


def test_an_idle_worker_can_take_a_job() -> None:
    """Nothing speaks against it."""
    assert infeasibility(node(), EVERY_JOB) is None


@pytest.mark.parametrize(
    ("worker", "promised", "reason"),
    [
        (node(draining=True), 0, "is draining"),
        (node(slots=2, in_hand=2), 0, "has no free slot"),
        (node(slots=2, in_hand=1), 1, "has no free slot"),
        (node(slots=1, in_hand=5), 0, "has no free slot"),
        (node(slots=1, prefetch=1, in_hand=2), 0, "has no free slot"),
    ],
)
def test_a_worker_that_cannot_take_a_job_says_why(worker: Node, promised: int, reason: str) -> None:
    """What it has in hand and what it is about to get both count."""
    assert infeasibility(worker, EVERY_JOB, promised) == reason


def test_a_worker_fetches_ahead() -> None:
    """A job may wait at a worker whose slots are all busy."""
    assert infeasibility(node(slots=1, prefetch=1, in_hand=1), EVERY_JOB) is None


def test_missing_tags_are_named() -> None:
    """All of them, in order, and none of those that are there."""
    demand = Demand(tags=frozenset({"gpu", "fast", "big"}))
    worker = node(tags=frozenset({"fast"}))
    assert infeasibility(worker, demand) == "lacks the tags big, gpu"
    assert infeasibility(node(tags=frozenset({"gpu", "fast", "big", "x"})), demand) is None


@pytest.mark.parametrize(("promised", "fits"), [(0, True), (1, True), (2, False)])
def test_memory_is_enough_for_all_that_is_promised(promised: int, fits: bool) -> None:
    """Each job that is on its way will want its share, too."""
    worker = node(slots=9, memory_available=2 * GIB)
    reason = infeasibility(worker, Demand(memory=GIB), promised)
    assert reason == (None if fits else "has too little memory free")


# Who comes first


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (node(), node(cpu=0.5)),
        (node(), node(memory_available=GIB // 2)),
        (node(gpu=0.1), node(gpu=0.9)),
        (node(slots=4, in_hand=1), node(slots=4, in_hand=2)),
        (node(slots=8, in_hand=2), node(slots=2, in_hand=1)),
        (node(cpu=0.1, gpu=1.0), node(cpu=0.9)),
        (node(cpu=0.1, memory_available=0), node(cpu=0.9)),
    ],
    ids=["cpu", "memory", "gpu", "jobs", "share of slots", "cpu over gpu", "cpu over memory"],
)
def test_the_less_loaded_comes_first(first: Node, then: Node) -> None:
    """Each kind of load counts, with its weight."""
    assert rank(first) < rank(then)


def test_an_idle_slot_comes_before_any_queue() -> None:
    """A loaded node that can begin now is better than an unloaded one where the job would wait."""
    loaded = node(slots=2, in_hand=1, cpu=1.0, memory_available=0, gpu=1.0)
    assert rank(loaded) < rank(node(slots=1, prefetch=1, in_hand=1))


def test_what_is_promised_counts_as_in_hand() -> None:
    """So that one round does not send everything to one worker."""
    assert rank(node(slots=4), promised=2) == rank(node(slots=4, in_hand=2))


def test_a_node_that_tells_no_memory_can_be_ranked() -> None:
    """Its reading is of no use, and does no harm."""
    worker = node()
    worker.resources = Resources(cpu=0, cores=1, memory_total=0, memory_available=0)
    assert rank(worker) > rank(node())


# Where jobs go


def where(*workers: Node, count: int = 1, demand: Demand = EVERY_JOB) -> list[str]:
    return [placed.worker for placed in place(jobs(count), workers, demand)]


def test_nothing_goes_nowhere() -> None:
    """Without jobs or without workers there are no placements."""
    assert where() == []
    assert where(node(), count=0) == []


def test_a_job_goes_to_the_least_loaded() -> None:
    """Of those that can take it."""
    assert where(node("a", cpu=0.9), node("b", cpu=0.1), node("c", draining=True)) == ["b"]


def test_jobs_spread_over_idle_workers_before_they_queue() -> None:
    """Everyone has something to do before anyone fetches ahead."""
    workers = [node(name, slots=1, prefetch=1) for name in "abc"]
    placed = where(*workers, count=6)
    assert sorted(placed[:3]) == sorted(placed[3:]) == ["a", "b", "c"]


def test_workers_of_different_sizes_fill_evenly() -> None:
    """As a share of their slots."""
    assert where(node("big", slots=4), node("small", slots=2), count=3).count("big") == 2


def test_what_does_not_fit_stays_pending() -> None:
    """The longest-waiting jobs go first."""
    placed = place(jobs(5), [node("a"), node("b")])
    assert [each.job.id for each in placed] == ["job-0", "job-1"]


def test_a_demand_is_met_or_the_job_waits() -> None:
    """An idle worker without the tag gets nothing."""
    demand = Demand(tags=frozenset({"gpu"}))
    busy = node("gpu", tags=frozenset({"gpu"}), cpu=1)
    assert where(node("plain"), busy, demand=demand) == ["gpu"]
    assert where(node("plain"), demand=demand) == []


# What holds for any jobs and workers


tags = st.frozensets(st.sampled_from(["gpu", "fast"]))
fleets = st.lists(
    st.builds(
        node,
        name=st.text("abcdef", min_size=1, max_size=3),
        tags=tags,
        slots=st.integers(1, 4),
        prefetch=st.integers(0, 2),
        in_hand=st.integers(0, 6),
        draining=st.booleans(),
        cpu=st.floats(0, 1),
        memory_available=st.integers(0, GIB),
        gpu=st.none() | st.floats(0, 1),
    ),
    max_size=6,
    unique_by=lambda each: each.name,
)
demands = st.builds(Demand, tags=tags, memory=st.sampled_from([0, GIB // 4]))
counts = st.integers(0, 20)


@given(fleets, counts, demands)
def test_no_worker_gets_more_than_it_has_room_for(
    workers: list[Node], count: int, demand: Demand
) -> None:
    """Nor more than its memory allows, nor anything while it drains."""
    placed = where(*workers, count=count, demand=demand)
    for worker in workers:
        got = placed.count(worker.name)
        assert got <= max(0, worker.room)
        assert got * demand.memory <= worker.resources.memory_available
        assert not (got and worker.draining)


@given(fleets, counts, demands)
def test_a_placement_is_feasible_where_it_goes(
    workers: list[Node], count: int, demand: Demand
) -> None:
    """In the moment in which it is made."""
    by_name = {worker.name: worker for worker in workers}
    promised = dict.fromkeys(by_name, 0)
    for name in where(*workers, count=count, demand=demand):
        assert infeasibility(by_name[name], demand, promised[name]) is None
        promised[name] += 1


@given(fleets, counts, demands)
def test_jobs_keep_their_order_and_go_once(workers: list[Node], count: int, demand: Demand) -> None:
    """The placed ones are the first of those that wait."""
    waiting = jobs(count)
    placed = [each.job for each in place(waiting, workers, demand)]
    assert placed == waiting[: len(placed)]


@given(fleets, counts, demands)
def test_no_job_waits_while_a_worker_could_take_it(
    workers: list[Node], count: int, demand: Demand
) -> None:
    """Whatever is left over fits nowhere."""
    placed = where(*workers, count=count, demand=demand)
    if len(placed) < count:
        assert all(infeasibility(each, demand, placed.count(each.name)) for each in workers)


@given(fleets, counts, demands)
def test_placement_is_a_function(workers: list[Node], count: int, demand: Demand) -> None:
    """The same jobs and workers give the same placements, and are left as they were."""
    before = [set(worker.in_hand) for worker in workers]
    first = place(jobs(count), workers, demand)
    assert place(jobs(count), workers, demand) == first
    assert [worker.in_hand for worker in workers] == before
