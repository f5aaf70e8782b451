"""Jobs that hold up the end of a workload are run a second time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.scheduler.stragglers import Stragglers
from tests.integration.scheduler.marketplace import Marketplace
from tests.unit.scheduler.nodes import MIB


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Marketplace]:
    datastore = await SqlDatastore.open(f"sqlite:///{tmp_path / 'dpip.db'}")
    yield Marketplace(datastore)
    await datastore.close()


def stragglers(market: Marketplace, *, late_factor: float = 4, share: float = 0.05) -> Stragglers:
    return Stragglers(
        market.datastore,
        market.fleet,
        market.backlog,
        market.clock,
        policy="least_loaded",
        late_factor=late_factor,
        share=share,
    )


async def at_work(market: Marketplace, *names: str, milliseconds: int = 500) -> None:
    """A workload of as many jobs as workers, all of which are at work."""
    workload = await market.add_workload(await market.add_user("user"))
    await market.add_jobs(workload, len(names), milliseconds=milliseconds)
    for name in names:
        market.hear(name)
    assert len(await market.found()) == len(names)


def finish(market: Marketplace, name: str) -> None:
    node = market.fleet.node(name)
    assert node is not None
    for lease in list(node.in_hand):
        market.end(lease)


async def test_a_late_job_is_run_elsewhere_too(market: Marketplace) -> None:
    """Once, on a worker that has nothing to do, which is promised to it."""
    await at_work(market, "slow", "quick")
    late = stragglers(market)
    market.clock.pass_by(1.9)
    finish(market, "quick")
    assert await late.find() == []
    market.clock.pass_by(0.2)
    (backup,) = await late.find()
    assert backup.placement.worker == "quick"
    assert backup.placement.why.backup
    lease = await market.datastore.lease_again(backup.placement, term=0)
    assert lease is not None
    market.fleet.granted(backup.promise, lease)
    market.clock.pass_by(60)
    assert await late.find() == []
    held = [each for each in await market.datastore.leases() if each.job_id == lease.job_id]
    assert sorted(each.worker for each in held) == ["quick", "slow"]


async def test_nobody_is_helped_while_more_of_the_workload_waits(market: Marketplace) -> None:
    """What is idle has better things to do."""
    await at_work(market, "slow", "quick")
    line = next(iter(await market.datastore.leases()))
    workload_id = next(
        placed.job.workload_id for placed in await market.datastore.placed_jobs([line.job_id])
    )
    await market.add_jobs(workload_id)
    finish(market, "quick")
    market.clock.pass_by(60)
    assert await stragglers(market).find() == []


async def test_a_job_that_would_be_done_sooner_elsewhere_is_late_at_once(
    market: Marketplace,
) -> None:
    """It began on a slow worker, because that alone was idle."""
    workload = await market.add_workload(await market.add_user("user"))
    await market.add_jobs(workload, milliseconds=20_000)
    market.hear("slow")
    slow = market.fleet.node("slow")
    assert slow is not None
    slow.slowness = slow.pace = 4.0
    await market.found()
    late = stragglers(market)
    assert await late.find() == []
    market.hear("quick")
    (backup,) = await late.find()
    assert backup.placement.worker == "quick"


async def test_a_second_run_is_of_no_use_where_it_is_as_slow(market: Marketplace) -> None:
    """It would be done no sooner."""
    await at_work(market, "one", milliseconds=20_000)
    market.hear("other")
    market.clock.pass_by(5)
    assert await stragglers(market).find() == []


async def test_the_cost_is_bounded(market: Marketplace) -> None:
    """By a share of the workload's jobs, one at least; or there is none at all."""
    names = [f"w{number}" for number in range(40)]
    await at_work(market, *names)
    for name in names[:20]:
        finish(market, name)
    market.clock.pass_by(60)
    assert await stragglers(market, share=0).find() == []
    assert len(await stragglers(market, share=0.001).find()) == 1
    assert len(await stragglers(market, share=0.1).find()) == 4


async def test_a_second_run_needs_what_the_first_one_did(market: Marketplace) -> None:
    """Here, memory."""
    workload = await market.add_workload(await market.add_user("user"))
    await market.add_jobs(workload, milliseconds=500, memory=800 * MIB)
    market.hear("slow")
    await market.found()
    market.hear("small", memory=400 * MIB)
    market.clock.pass_by(60)
    assert await stragglers(market).find() == []
