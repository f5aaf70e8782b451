"""A job that has failed goes to a worker that has not failed it, while there is one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.model.job import Failure, FailureCode
from dpip.model.requirements import Requirements
from dpip.scheduler.placement import HAS_FAILED_IT
from dpip.scheduler.stragglers import Stragglers
from dpip.scheduler.waiting import WaitingRoom
from dpip.wire.messages import Waiting, WhyPending
from dpip.wire.subjects import Speaker
from tests.integration.scheduler.marketplace import Marketplace
from tests.unit.scheduler.nodes import MIB, heartbeat

BROKEN = Failure(code=FailureCode.DECODE_FAILED, reason="The picture ends too early.")
OTHER = Speaker("other", "i")


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Marketplace]:
    datastore = await SqlDatastore.open(f"sqlite:///{tmp_path / 'dpip.db'}")
    yield Marketplace(datastore)
    await datastore.close()


async def failed_by(market: Marketplace, worker: str, requirements: Requirements) -> str:
    """The workload of one job, which ``worker`` has failed, and which is due again."""
    workload = await market.add_workload(requirements=requirements)
    await market.add_jobs(workload, memory=8 * MIB)
    market.hear(worker, tags=requirements.tags)
    await fail(market, worker)
    return workload


async def fail(market: Marketplace, worker: str) -> None:
    """Have the one job that is placed now fail there."""
    (match,) = await market.found()
    lease = match.promise.lease
    assert lease.worker == worker
    market.end(lease)
    await market.datastore.fail(lease, BROKEN, jitter=0.0, now=market.clock.now())
    market.clock.pass_by(3)


async def where(market: Marketplace) -> list[str]:
    return [match.promise.lease.worker for match in await market.found()]


async def test_each_attempt_goes_to_another_worker(market: Marketplace) -> None:
    """Though the first one is idle, and would be the first choice."""
    await failed_by(market, "a", Requirements())
    market.hear("b")
    await fail(market, "b")
    market.hear("c")
    assert await where(market) == ["c"]


async def test_a_busy_worker_is_waited_for(market: Marketplace) -> None:
    """And the idle one that has failed the job has others of the workload meanwhile."""
    market.hear("b")
    await market.add_jobs(await market.add_workload(await market.add_user("busy")))
    (busy,) = await market.found()
    workload = await failed_by(market, "a", Requirements())
    await market.add_jobs(workload)
    (match,) = await market.found()
    assert (match.promise.lease.worker, match.job.failures) == ("a", 0)
    market.end(match.promise.lease)
    assert await where(market) == []
    market.end(busy.promise.lease)
    (match,) = await market.found()
    assert (match.promise.lease.worker, match.job.failures) == ("b", 1)


def hear_a_small_one(market: Marketplace) -> None:
    market.hear("other", memory=4 * MIB, tags=("fast",))


def hear_one_whose_memory_others_have(market: Marketplace) -> None:
    beat = heartbeat(memory_available=4 * MIB, tags=("fast",))
    market.fleet.heard(*OTHER, beat, market.clock.monotonic())


def hear_one_without_the_tag(market: Marketplace) -> None:
    market.hear("other")


def hear_a_paused_one(market: Marketplace) -> None:
    beat = heartbeat(paused="is outside of its hours", tags=("fast",))
    market.fleet.heard(*OTHER, beat, market.clock.monotonic())


def hear_one_that_keeps_giving_back(market: Marketplace) -> None:
    market.hear("other", tags=("fast",))
    for _ in range(4):
        market.clock.pass_by(10)
        market.fleet.returned(OTHER, market.clock.monotonic())
    market.hear("a", tags=("fast",))


@pytest.mark.parametrize(
    "hear",
    [
        hear_a_small_one,
        hear_one_whose_memory_others_have,
        hear_one_without_the_tag,
        hear_a_paused_one,
        hear_one_that_keeps_giving_back,
    ],
)
async def test_one_that_could_not_take_it_is_not_waited_for(
    market: Marketplace, hear: Callable[[Marketplace], None]
) -> None:
    """The job goes where it has failed, as it does where there is no other worker."""
    await failed_by(market, "a", Requirements(tags=("fast",)))
    hear(market)
    assert await where(market) == ["a"]


async def test_one_that_has_given_a_job_back_once_is_waited_for(market: Marketplace) -> None:
    """It is back in a moment."""
    await failed_by(market, "a", Requirements())
    market.hear("other")
    market.fleet.returned(OTHER, market.clock.monotonic())
    assert await where(market) == []
    market.clock.pass_by(2)
    assert await where(market) == ["other"]


async def test_a_second_attempt_beside_a_late_one_goes_elsewhere_too(market: Marketplace) -> None:
    """Rather than where the job has failed, none is begun."""
    await failed_by(market, "a", Requirements())
    market.hear("b")
    assert await where(market) == ["b"]
    await market.backlog.refresh(now=market.clock.now(), slots=2)
    market.clock.pass_by(60)
    late = Stragglers(
        market.datastore,
        market.fleet,
        market.backlog,
        market.clock,
        policy="least_loaded",
        late_factor=4,
        share=0.05,
    )
    assert await late.find() == []
    market.hear("c")
    (backup,) = await late.find()
    assert backup.placement.worker == "c"


async def explain(market: Marketplace, workload_id: str, *failed_by: str) -> Waiting:
    await market.found()
    (job,) = await market.datastore.pending_jobs(workload_id, now=market.clock.now(), limit=1)
    assert sorted(job.failed_by) == sorted(failed_by)
    room = WaitingRoom(market.datastore, market.matchmaker, market.backlog, market.fleet)
    return await room.explain(
        WhyPending(job_id=job.id, workload_id=workload_id, failed_by=failed_by)
    )


async def test_that_it_waits_for_another_worker_is_explained(market: Marketplace) -> None:
    """It is said of the one that has failed it, and the other one is busy."""
    market.hear("b")
    busy = await market.add_workload(await market.add_user("busy"))
    await market.add_jobs(busy)
    assert await where(market) == ["b"]
    workload = await failed_by(market, "a", Requirements())
    told = await explain(market, workload, "a")
    assert told.reason == "The worker that can run it is busy."
    assert told.again_on == ()
    assert {each.worker: each.reason for each in told.obstacles}["a"] == HAS_FAILED_IT


async def test_that_no_other_worker_is_there_is_explained(market: Marketplace) -> None:
    """While the one that is there has something else to do."""
    workload = await failed_by(market, "a", Requirements())
    busy = await market.add_workload(await market.add_user("busy"))
    await market.add_jobs(busy, 2)
    await market.found()
    told = await explain(market, workload, "a")
    assert (told.again_on, told.known) == (("a",), 1)
    assert told.reason == "The worker that can run it is busy."
