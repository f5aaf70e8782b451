"""Every job that waits has a sentence."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.model.requirements import GpuUse, Requirements
from dpip.scheduler.waiting import WaitingRoom
from dpip.wire.messages import Waiting, WhyPending
from tests.integration.scheduler.marketplace import Marketplace
from tests.unit.scheduler.nodes import MIB, heartbeat


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Marketplace]:
    datastore = await SqlDatastore.open(f"sqlite:///{tmp_path / 'dpip.db'}")
    yield Marketplace(datastore)
    await datastore.close()


async def explain(market: Marketplace, job_id: str, workload_id: str) -> Waiting:
    room = WaitingRoom(market.datastore, market.matchmaker, market.backlog, market.fleet)
    return await room.explain(WhyPending(job_id=job_id, workload_id=workload_id))


async def waiting(
    market: Marketplace, requirements: Requirements | None = None, *, memory: int = MIB
) -> tuple[str, str]:
    """A job that waits, and its workload; a round has left it where it is."""
    workload_id = await market.add_workload(requirements=requirements or Requirements())
    (job_id,) = await market.add_jobs(workload_id, memory=memory)
    await market.found()
    return job_id, workload_id


async def test_nobody_has_joined(market: Marketplace) -> None:
    """That is all there is to say."""
    explained = await explain(market, *await waiting(market))
    assert explained.reason == "No worker has joined."
    assert (explained.known, explained.obstacles) == (0, ())


async def test_the_scheduler_has_not_looked(market: Marketplace) -> None:
    """It was uploaded a moment ago."""
    workload_id = await market.add_workload()
    (job_id,) = await market.add_jobs(workload_id)
    assert "not looked at it yet" in (await explain(market, job_id, workload_id)).reason


async def test_all_are_busy(market: Marketplace) -> None:
    """How many there are, and how many jobs go first, of this workload and of others."""
    busy = await market.add_workload(await market.add_user("busy"))
    await market.add_jobs(busy, 5)
    market.hear("a")
    market.hear("b")
    await market.found()
    workload_id = await market.add_workload("busy")
    first, second = await market.add_jobs(workload_id, 2)
    await market.found()
    explained = await explain(market, second, workload_id)
    assert explained.reason == (
        "All 2 workers that can run it are busy, and 1 job of its workload go first."
    )
    assert "more workers" in explained.remedy
    assert (explained.before, explained.competing, explained.known) == (1, 3, 2)
    assert {each.worker: each.reason for each in explained.obstacles} == dict.fromkeys(
        "ab", "has no free slot"
    )
    assert (await explain(market, first, workload_id)).before == 0


async def test_a_tag_is_missing_everywhere(market: Marketplace) -> None:
    """Which, and what to do."""
    market.hear("plain")
    explained = await explain(market, *await waiting(market, Requirements(tags=("gpu", "near"))))
    assert explained.reason == "No worker carries what its workload requires: gpu, near."
    assert "--tags gpu,near" in explained.remedy
    assert [each.reason for each in explained.obstacles] == ["lacks the tags gpu, near"]


async def test_no_worker_has_all_tags(market: Marketplace) -> None:
    """Though each is carried by some."""
    market.hear("one", tags=["gpu"])
    market.hear("other", tags=["near"])
    explained = await explain(market, *await waiting(market, Requirements(tags=("gpu", "near"))))
    assert explained.reason == "No worker carries all that its workload requires."


async def test_there_is_no_gpu(market: Marketplace) -> None:
    """And one is required."""
    market.hear("plain")
    explained = await explain(market, *await waiting(market, Requirements(gpu=GpuUse.REQUIRED)))
    assert "has a GPU" in explained.reason
    assert "gpu=preferred" in explained.remedy


async def test_those_that_could_take_no_jobs_now(market: Marketplace) -> None:
    """By name, each with its own reason."""
    beat = heartbeat(paused="works from 20:00 to 08:00 only", tags=())
    market.fleet.heard("night", "i", beat, market.clock.monotonic())
    market.fleet.heard("leaving", "i", heartbeat(draining=True, tags=()), 0)
    explained = await explain(market, *await waiting(market))
    assert explained.reason == (
        "None of the workers that could run it (leaving, night) takes jobs now."
    )
    assert {each.worker: each.reason for each in explained.obstacles} == {
        "night": "works from 20:00 to 08:00 only",
        "leaving": "is draining",
    }


async def test_memory_is_promised_to_others(market: Marketplace) -> None:
    """How much it takes, and that a machine is kept free for it."""
    workload_id = await market.add_workload()
    await market.add_jobs(workload_id, memory=600 * MIB)
    market.hear("w", slots=4)
    await market.found()
    explained = await explain(market, *await waiting(market, memory=700 * MIB))
    assert "700 MiB of memory" in explained.reason
    assert "kept free" in explained.remedy


async def test_it_is_about_to_go(market: Marketplace) -> None:
    """A worker has room, and its turn has come."""
    job_id, workload_id = await waiting(market)
    market.hear("w")
    assert "about to be placed" in (await explain(market, job_id, workload_id)).reason


async def test_the_log_says_what_holds_the_oldest_workload_up(market: Marketplace) -> None:
    """Workers with the same reason stand together."""
    room = WaitingRoom(market.datastore, market.matchmaker, market.backlog, market.fleet)
    assert room.summary() == "no worker has joined"
    await waiting(market, Requirements(tags=("gpu",)))
    for name in "abcdefg":
        market.hear(name)
    assert room.summary() == "a, b, c, d, e and 2 more lacks the tag gpu"
    market.hear("h", tags=["gpu"])
    assert room.summary() is None
