"""Jobs in fair order to the workers that they fit, by scenarios."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from dpip.controller.datastore import SqlDatastore
from dpip.errors import StorageUnavailable
from dpip.model.job import Failure, FailureCode, Lease, PendingJob
from dpip.model.requirements import GpuUse, Requirements
from dpip.model.worker import Gpu
from dpip.scheduler import backlog
from dpip.scheduler.matchmaker import Match
from tests.integration.scheduler.marketplace import Marketplace
from tests.unit.scheduler.nodes import GIB, MIB, heartbeat, promise


@pytest.fixture
async def datastore(tmp_path: Path) -> AsyncIterator[SqlDatastore]:
    datastore = await SqlDatastore.open(f"sqlite:///{tmp_path / 'dpip.db'}")
    yield datastore
    await datastore.close()


@pytest.fixture
def market(datastore: SqlDatastore) -> Marketplace:
    return Marketplace(datastore)


async def served(market: Marketplace, count: int) -> list[Match]:
    """The first ``count`` jobs that are placed, while one slot is free after the other."""
    served: list[Match] = []
    while len(served) < count:
        for match in await market.found():
            served.append(match)
            market.end(match.promise.lease)
    return served[:count]


def owners(matches: list[Match]) -> Counter[str | None]:
    return Counter(match.promise.owner_id for match in matches)


# Fair shares


async def test_users_take_turns(market: Marketplace) -> None:
    """However many jobs each of them has, and whoever came first."""
    batch = await market.add_workload(await market.add_user("batch"))
    other = await market.add_workload(await market.add_user("other"))
    await market.add_jobs(batch, 30)
    await market.add_jobs(other, 5)
    market.hear()
    assert owners(await served(market, 10)) == {"batch": 5, "other": 5}


async def test_what_is_shared_is_time(market: Marketplace) -> None:
    """Who has large pictures gets fewer of them done."""
    large = await market.add_workload(await market.add_user("large"))
    small = await market.add_workload(await market.add_user("small"))
    await market.add_jobs(large, 10, milliseconds=400)
    await market.add_jobs(small, 40, milliseconds=100)
    market.hear()
    placed = owners(await served(market, 20))
    assert placed == {"large": 4, "small": 16}


async def test_a_user_may_weigh_more(market: Marketplace) -> None:
    """Twice as much for twice the weight."""
    heavy = await market.add_workload(await market.add_user("heavy", weight=2))
    light = await market.add_workload(await market.add_user("light"))
    await market.add_jobs(heavy, 20)
    await market.add_jobs(light, 20)
    market.hear()
    assert owners(await served(market, 12)) == {"heavy": 8, "light": 4}


async def test_more_workloads_are_no_more_of_a_share(market: Marketplace) -> None:
    """What is a user's is divided among that user's workloads, by their weights."""
    many = await market.add_user("many")
    plain = await market.add_workload(many)
    weighty = await market.add_workload(many, Requirements(weight=3))
    single = await market.add_workload(await market.add_user("single"))
    for workload in (plain, weighty, single):
        await market.add_jobs(workload, 20)
    market.hear()
    placed = Counter(match.job.workload_id for match in await served(market, 16))
    assert placed == {single: 8, weighty: 6, plain: 2}


async def test_priority_orders_the_workloads_of_one_user(market: Marketplace) -> None:
    """And takes nothing from other users."""
    user = await market.add_user("user")
    later = await market.add_workload(user)
    sooner = await market.add_workload(user, Requirements(priority=5))
    other = await market.add_workload(await market.add_user("other"))
    for workload in (later, sooner, other):
        await market.add_jobs(workload, 4)
    market.hear()
    order = [match.job.workload_id for match in await served(market, 12)]
    assert Counter(order[:8]) == {sooner: 4, other: 4}
    assert order[8:] == [later] * 4


async def test_a_deadline_in_danger_goes_before_priority(market: Marketplace) -> None:
    """The nearest first; one that is far off changes nothing."""
    user = await market.add_user("user")
    now = market.clock.now()
    important = await market.add_workload(user, Requirements(priority=10))
    far = await market.add_workload(user, Requirements(deadline=now + 3600))
    near = await market.add_workload(user, Requirements(deadline=now + 1))
    nearest = await market.add_workload(user, Requirements(deadline=now + 0.5))
    for workload in (important, far, near, nearest):
        await market.add_jobs(workload, 30)
    market.hear()
    order = [match.job.workload_id for match in await served(market, 120)]
    assert list(dict.fromkeys(order)) == [nearest, near, important, far]


async def test_jobs_of_a_workload_go_in_the_order_of_upload(market: Marketplace) -> None:
    """Across the windows in which they are read."""
    workload = await market.add_workload()
    job_ids = await market.add_jobs(workload, 20)
    market.hear(slots=3)
    assert [match.job.id for match in await served(market, 20)] == job_ids


async def test_a_job_that_comes_back_is_first_again(market: Marketplace) -> None:
    """It has waited longer than those that are in memory already."""
    workload = await market.add_workload()
    job_ids = await market.add_jobs(workload, 10)
    market.hear()
    (match,) = await market.found()
    market.end(match.promise.lease)
    await market.datastore.give_back(match.promise.lease)
    assert [match.job.id for match in await served(market, 3)] == job_ids[:3]


async def test_a_job_that_failed_goes_before_later_ones_once_it_is_due(
    market: Marketplace,
) -> None:
    """Though those are in memory already, and nobody says that it is due."""
    workload = await market.add_workload()
    job_ids = await market.add_jobs(workload, 20)
    market.hear()
    (match,) = await market.found()
    market.end(match.promise.lease)
    failure = Failure(code=FailureCode.CRASHED, reason="It did.")
    now = market.clock.now()
    await market.datastore.fail(match.promise.lease, failure, jitter=0.0, now=now)
    assert [each.job.id for each in await served(market, 2)] == job_ids[1:3]
    market.clock.pass_by(3)
    assert [each.job.id for each in await served(market, 2)] == [job_ids[0], job_ids[3]]


# The interactive lane


async def test_a_single_picture_goes_before_a_batch(market: Marketplace) -> None:
    """Though all workers have their hands full: it is express, where the next slot is free."""
    batch = await market.add_workload(await market.add_user("batch"))
    await market.add_jobs(batch, 40)
    market.hear("a", prefetch=1)
    market.hear("b", prefetch=1)
    assert len(await market.found()) == 4
    assert await market.found() == []
    (single,) = await market.add_jobs(await market.add_workload(await market.add_user("single")))
    (match,) = await market.found()
    assert match.job.id == single
    assert match.promise.express


async def test_the_lane_is_for_who_has_nothing_and_has_had_little(market: Marketplace) -> None:
    """The second picture of the same user has its turn like all others."""
    batch = await market.add_workload(await market.add_user("batch"))
    await market.add_jobs(batch, 10)
    market.hear("a")
    market.hear("b")
    in_hand = await market.found()
    single = await market.add_workload(await market.add_user("single"))
    first, second = await market.add_jobs(single, 2)
    (match,) = await market.found()
    assert match.job.id == first
    assert await market.found() == []
    market.end(match.promise.lease)
    assert await market.found() == []
    market.end(in_hand[0].promise.lease)
    assert second in [match.job.id for match in await market.found()]


async def test_a_job_that_begins_at_once_is_not_express(market: Marketplace) -> None:
    """It takes nobody's turn."""
    await market.add_jobs(await market.add_workload())
    market.hear()
    (match,) = await market.found()
    assert not match.promise.express


# Large and small


async def test_a_large_job_is_passed_by_and_not_for_ever(market: Marketplace) -> None:
    """A machine is kept free for it, and given to others again when it has been placed."""
    workload = await market.add_workload()
    market.hear("a", slots=4)
    market.hear("b", slots=4)
    await market.add_jobs(workload, 8, memory=200 * MIB)
    assert len(await market.found()) == 8
    (large,) = await market.add_jobs(workload, memory=900 * MIB)
    await market.add_jobs(workload, 20, memory=200 * MIB)
    leases = {each: list(market.fleet.node(each).in_hand) for each in "ab"}  # type: ignore[union-attr]
    market.end(leases["a"].pop())
    (small,) = await market.found()
    assert small.job.id != large
    market.clock.pass_by(2)
    market.end(leases["b"].pop())
    await market.found()
    kept = next(node for node in market.fleet if node.machine.kept_for == large)
    for lease in list(kept.in_hand):
        market.end(lease)
        matches = await market.found()
        if kept.machine.kept_for:
            assert not [match for match in matches if match.node is kept]
    assert large in {lease.job_id for lease in kept.in_hand}
    assert kept.machine.kept_for is None


async def test_a_machine_is_kept_for_no_job_that_has_gone(market: Marketplace) -> None:
    """Its workload was removed."""
    market.hear("a", slots=2)
    market.hear("b", slots=2)
    small = await market.add_workload()
    await market.add_jobs(small, 2, memory=200 * MIB)
    await market.found()
    large = await market.add_workload()
    await market.add_jobs(large, memory=900 * MIB)
    await market.found()
    market.clock.pass_by(2)
    await market.found()
    assert [node for node in market.fleet if node.machine.kept_for]
    await market.datastore.remove_workload(large, 0)
    await market.found()
    assert not [node for node in market.fleet if node.machine.kept_for]


async def test_no_machine_is_kept_whose_memory_others_hold(market: Marketplace) -> None:
    """It would be idle for as long as those programs run."""
    workload = await market.add_workload()
    beat = heartbeat(slots=4, tags=(), memory_total=GIB, memory_available=300 * MIB)
    market.fleet.heard("w", "i", beat, market.clock.monotonic())
    await market.add_jobs(workload, memory=900 * MIB)
    small = await market.add_jobs(workload, 2)
    assert [match.job.id for match in await market.found()] == small
    market.clock.pass_by(5)
    await market.found()
    more = await market.add_jobs(workload, 2)
    assert [match.job.id for match in await market.found()] == more


async def test_a_machine_is_kept_no_longer_than_it_can_be_of_use(market: Marketplace) -> None:
    """Other programs have taken its memory since."""
    workload = await market.add_workload()
    market.hear("a", slots=4)
    await market.add_jobs(workload, memory=300 * MIB)
    await market.found()
    await market.add_jobs(workload, memory=900 * MIB)
    await market.found()
    market.clock.pass_by(2)
    await market.found()
    (node,) = market.fleet
    assert node.machine.kept_for
    beat = heartbeat(slots=4, tags=(), memory_total=GIB, memory_available=500 * MIB)
    market.fleet.heard("a", "i", beat, market.clock.monotonic())
    await market.found()
    assert node.machine.kept_for is None


async def test_another_machine_is_kept_when_the_first_one_leaves(market: Marketplace) -> None:
    """The job does not wait for one that may never come back."""
    market.hear("a", slots=2)
    workload = await market.add_workload()
    await market.add_jobs(workload, 1, memory=200 * MIB)
    await market.found()
    await market.add_jobs(workload, memory=900 * MIB)
    await market.found()
    market.clock.pass_by(2)
    await market.found()
    (first,) = market.fleet
    assert first.machine.kept_for
    market.hear("b", slots=2)
    (other,) = (node for node in market.fleet if node is not first)
    market.fleet.placed(promise(Lease(job_id="x", attempt=1, worker="b"), memory=200 * MIB))
    market.fleet.gone(first.speaker)
    await market.found()
    assert other.machine.kept_for


async def test_large_jobs_do_not_keep_all_machines(market: Marketplace) -> None:
    """Small ones go on elsewhere."""
    workload = await market.add_workload()
    for name in "abcd":
        market.hear(name, slots=4)
    await market.add_jobs(workload, 8, memory=200 * MIB)
    await market.found()
    await market.add_jobs(workload, 10, memory=900 * MIB)
    await market.found()
    market.clock.pass_by(2)
    await market.found()
    assert sum(node.machine.kept_for is not None for node in market.fleet) == 2
    await market.add_jobs(workload, 1, memory=MIB)
    (match,) = await market.found()
    assert match.node.machine.kept_for is None


async def test_no_more_memory_is_promised_than_machines_have(market: Marketplace) -> None:
    """However many slots they have."""
    workload = await market.add_workload()
    await market.add_jobs(workload, 20, memory=300 * MIB)
    for name in "ab":
        market.hear(name, slots=9, machine="shared")
    assert len(await market.found()) == 3


async def test_what_fits_nowhere_ever_is_hopeless(market: Marketplace) -> None:
    """With the reason, at once; what is too large for now only waits."""
    workload = await market.add_workload()
    (hopeless,) = await market.add_jobs(workload, memory=2 * GIB)
    (fits,) = await market.add_jobs(workload)
    assert (await market.round()).hopeless == []  # Nobody has joined: who knows.
    market.hear()
    matches = await market.round()
    assert [each.job.id for each in matches.hopeless] == [hopeless]
    assert "2048 MiB" in matches.hopeless[0].reason
    assert "1024 MiB" in matches.hopeless[0].reason
    assert [match.job.id for match in matches.found] == [fits]


# What is asked for


async def test_required_tags_are_waited_for(market: Marketplace) -> None:
    """An idle worker without them gets nothing, and other workloads pass by."""
    picky = await market.add_workload(requirements=Requirements(tags=("gpu",)))
    easy = await market.add_workload()
    await market.add_jobs(picky)
    (job_id,) = await market.add_jobs(easy)
    market.hear("plain", slots=5)
    assert [match.job.id for match in await market.found()] == [job_id]
    market.hear("fitting", tags=["gpu"])
    (match,) = await market.found()
    assert match.node.name == "fitting"


async def test_preferred_tags_are_preferred(market: Marketplace) -> None:
    """While such a worker has an idle slot."""
    workload = await market.add_workload(requirements=Requirements(prefer_tags=("fast",)))
    await market.add_jobs(workload, 2)
    market.hear("plain")
    market.hear("quick", tags=["fast"])
    assert [match.node.name for match in await market.found()] == ["quick", "plain"]


async def test_a_required_gpu_is_waited_for(market: Marketplace) -> None:
    """Where no worker has one."""
    workload = await market.add_workload(requirements=Requirements(gpu=GpuUse.REQUIRED))
    await market.add_jobs(workload)
    market.hear()
    assert await market.found() == []


async def test_no_more_gpu_memory_is_promised_than_there_is(market: Marketplace) -> None:
    """One that is too large for now does not hold up smaller ones of its workload."""
    workload = await market.add_workload(requirements=Requirements(gpu=GpuUse.REQUIRED))
    gpu = Gpu(name="g", utilisation=0, memory_used=0, memory_total=GIB)
    beat = heartbeat(slots=8, tags=(), memory_total=64 * GIB, memory_available=64 * GIB)
    beat = structs.replace(beat, resources=structs.replace(beat.resources, gpus=(gpu,)))
    market.fleet.heard("w", "i", beat, market.clock.monotonic())
    (first,) = await market.add_jobs(workload, memory=600 * MIB)
    await market.add_jobs(workload, memory=600 * MIB)
    (small,) = await market.add_jobs(workload, memory=300 * MIB)
    found = await market.found()
    assert [match.job.id for match in found] == [first, small]
    market.end(found[0].promise.lease)
    assert len(await market.found()) == 1
    (hopeless,) = await market.add_jobs(workload, memory=2 * GIB)
    matches = await market.round()
    assert [each.job.id for each in matches.hopeless] == [hopeless]
    assert "GPU memory" in matches.hopeless[0].reason


# What goes wrong


async def test_a_round_that_fails_leaves_no_promises(market: Marketplace) -> None:
    """The datastore is away in the middle of it."""
    user = await market.add_user("user")
    first, second = await market.add_workload(user), await market.add_workload(user)
    await market.add_jobs(first)
    await market.add_jobs(second)
    market.hear(slots=9)
    read = market.datastore.pending_jobs
    answers = iter([read])

    async def pending_jobs(workload_id: str, *, now: float, limit: int) -> list[PendingJob]:
        for answer in answers:
            return await answer(workload_id, now=now, limit=limit)
        raise StorageUnavailable(storage="datastore", reason="test")

    market.datastore.pending_jobs = pending_jobs  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await market.found()
    assert list(market.fleet.in_hand()) == []
    market.datastore.pending_jobs = read  # type: ignore[method-assign]
    assert len(await market.found()) == 2


async def test_many_workloads_that_fit_nowhere_are_looked_at_by_and_by(
    market: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a round is short, and the one that fits comes up in a later one."""
    monkeypatch.setattr(backlog, "_MOST_PASSES", 4)
    user = await market.add_user("user")
    for _ in range(10):
        picky = await market.add_workload(user, Requirements(tags=("gpu",)))
        await market.add_jobs(picky)
    easy = await market.add_workload(user)
    (job_id,) = await market.add_jobs(easy)
    market.hear()
    rounds = [await market.found() for _ in range(4)]
    assert [[match.job.id for match in found] for found in rounds if found] == [[job_id]]
    assert rounds[0] == []


# Batches


async def test_small_jobs_travel_in_batches_that_shrink(datastore: SqlDatastore) -> None:
    """As many as last for the time that is set, and fewer as the backlog ends."""
    market = Marketplace(datastore, batch_milliseconds=100)
    workload = await market.add_workload()
    await market.add_jobs(workload, 100, milliseconds=4)
    market.hear("a", prefetch=1)
    market.hear("b", prefetch=1)
    sizes = []
    while matches := await market.found():
        sizes.append(max(Counter(match.node.name for match in matches).values()))
        for node in market.fleet:
            for lease in list(node.in_hand):
                market.end(lease)
    assert sizes[0] == 25
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 2


async def test_large_jobs_do_not(datastore: SqlDatastore) -> None:
    """Each is bound as late as can be."""
    market = Marketplace(datastore, batch_milliseconds=100)
    await market.add_jobs(await market.add_workload(), 20, milliseconds=500)
    market.hear("a", prefetch=1)
    assert len(await market.found()) == 2


async def test_the_last_jobs_are_not_fetched_ahead(market: Marketplace) -> None:
    """They go to whoever is free first."""
    await market.add_jobs(await market.add_workload(), 2)
    market.hear("a", slots=2, prefetch=5)
    market.hear("b", slots=2, prefetch=5)
    assert len(await market.found()) == 2
    (job_id,) = await market.add_jobs(await market.add_workload())
    assert [match.job.id for match in await market.found()] == [job_id]


async def test_a_round_that_is_cut_short_says_so(market: Marketplace) -> None:
    """There is more room than one round places."""
    workload = await market.add_workload()
    await market.add_jobs(workload, 600, memory=1)
    market.hear("a", slots=700)
    matches = await market.round()
    assert (len(matches.found), matches.left_out) == (512, True)
    matches = await market.round()
    assert (len(matches.found), matches.left_out) == (88, False)
