"""Of several schedulers one leads, and another takes over when it falls silent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dpip.controller.datastore import SqlDatastore
from dpip.errors import Deposed, StorageUnavailable
from dpip.model.leadership import SCHEDULER, Leader
from dpip.ports.clock import SystemClock
from dpip.scheduler.leadership import Leadership
from dpip.wire import subjects
from tests.contract.builders import add_job, build_placement
from tests.integration.controller.parts import HandClock, Parts
from tests.integration.scheduler.test_scheduler import scheduling
from tests.integration.scheduler.workers import Workers
from tests.nats import until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlDatastore]:
    store = await SqlDatastore.open(f"sqlite:///{tmp_path / 'dpip.db'}")
    yield store
    await store.close()


class Scheduler(Leadership):
    """One that could lead, on a clock of its own that shows any time but moves as all do."""

    def __init__(self, store: SqlDatastore, name: str, clock_shows: float = 50.0) -> None:
        self.clock = HandClock()
        self.clock.steady = clock_shows
        super().__init__(store, self.clock, holder=name)


@pytest.fixture
def leader(store: SqlDatastore) -> Scheduler:
    return Scheduler(store, "leader", clock_shows=1e6)


@pytest.fixture
def other(store: SqlDatastore) -> Scheduler:
    return Scheduler(store, "other", clock_shows=3.0)


def terms(*schedulers: Scheduler) -> tuple[int | None, ...]:
    return tuple(each.term for each in schedulers)


async def pass_by(seconds: int, *looking: Scheduler, silent: tuple[Scheduler, ...] = ()) -> None:
    """Second by second; those ``silent`` do not look."""
    for _ in range(seconds):
        for each in (*looking, *silent):
            each.clock.pass_by(1.0)
        for each in looking:
            await each.look()


async def test_the_first_leads_at_once(leader: Scheduler, other: Scheduler) -> None:
    """Where nobody has led, nobody is waited for; the next one stands by."""
    assert leader.term is None
    await leader.look()
    await other.look()
    assert terms(leader, other) == (1, None)
    assert leader.leading.is_set()
    assert not other.leading.is_set()


async def test_one_that_beats_leads_on(leader: Scheduler, other: Scheduler) -> None:
    """However long the other one waits."""
    await pass_by(60, leader, other)
    assert terms(leader, other) == (1, None)


async def test_one_that_falls_silent_is_followed_within_five_seconds(
    leader: Scheduler, other: Scheduler
) -> None:
    """And not before three, in which it may yet be heard."""
    await pass_by(2, leader, other)
    await pass_by(2, other, silent=(leader,))
    assert terms(other) == (None,)
    await pass_by(3, other, silent=(leader,))
    assert terms(other) == (2,)
    assert other.leading.is_set()


async def test_one_that_has_left_is_followed_at_once(leader: Scheduler, other: Scheduler) -> None:
    """It says that it has."""
    await pass_by(2, leader, other)
    await leader.stop()
    assert leader.term is None
    assert not leader.leading.is_set()
    await other.look()
    assert other.term == 2


async def test_one_that_was_frozen_knows_at_once_that_it_may_not_lead(
    store: SqlDatastore, leader: Scheduler, other: Scheduler
) -> None:
    """Before it looks; what it decides all the same in its former term is refused."""
    await pass_by(2, leader, other)
    await pass_by(4, other, silent=(leader,))
    assert leader.term is None
    with pytest.raises(Deposed):
        await store.lease([build_placement((await add_job(store)).id)], term=1)
    await pass_by(10, leader, other)
    assert terms(leader, other) == (None, 2)
    assert not leader.leading.is_set()
    assert await store.leases() == []


async def test_one_that_was_frozen_alone_goes_on(leader: Scheduler) -> None:
    """In its own term, when it has found that nobody else leads."""
    await leader.look()
    leader.clock.pass_by(60.0)
    assert leader.term is None
    await leader.look()
    assert leader.term == 1


async def test_two_that_see_the_same_silence_do_not_both_lead(
    store: SqlDatastore, leader: Scheduler, other: Scheduler
) -> None:
    """One of them has the next term, and the other one stands by again."""
    third = Scheduler(store, "third")
    await pass_by(1, leader, other, third)
    await pass_by(3, other, third, silent=(leader,))
    for each in (other, third):
        each.clock.pass_by(1.0)
    await asyncio.gather(other.look(), third.look())
    assert {other.term, third.term} == {None, 2}
    await pass_by(10, other, third)
    assert {other.term, third.term} == {None, 2}


class Unreachable:
    """A datastore that fails, until it is mended."""

    def __init__(self, store: SqlDatastore) -> None:
        self._store = store
        self.is_down = False

    def _check(self) -> None:
        if self.is_down:
            raise StorageUnavailable(storage="datastore", reason="it is down")

    async def leader(self, part: str) -> Leader:
        self._check()
        return await self._store.leader(part)

    async def take_lead(self, part: str, holder: str, *, after_term: int) -> int | None:
        self._check()
        return await self._store.take_lead(part, holder, after_term=after_term)

    async def keep_lead(self, part: str, *, term: int) -> bool:
        self._check()
        return await self._store.keep_lead(part, term=term)

    async def resign(self, part: str, *, term: int) -> None:
        self._check()
        await self._store.resign(part, term=term)


async def test_without_the_datastore_nobody_leads_for_long(store: SqlDatastore) -> None:
    """For three seconds, and again when it is back."""
    clock, failing = HandClock(), Unreachable(store)
    leadership = Leadership(failing, clock, holder="one")
    await leadership.look()
    failing.is_down = True
    led = []
    for _ in range(4):
        clock.pass_by(1.0)
        with pytest.raises(StorageUnavailable):
            await leadership.look()
        led.append((leadership.term, leadership.leading.is_set()))
    assert led == [(1, True), (1, True), (None, False), (None, False)]
    failing.is_down = False
    await leadership.look()
    assert leadership.term == 1
    assert leadership.leading.is_set()


async def test_one_that_cannot_resign_ends_all_the_same(store: SqlDatastore) -> None:
    """Others see its silence."""
    failing = Unreachable(store)
    leadership = Leadership(failing, HandClock(), holder="one")
    await leadership.look()
    failing.is_down = True
    await leadership.stop()
    assert (await store.leader(SCHEDULER)).holder == "one"


async def test_a_change_of_leaders_is_logged_once(leader: Scheduler, other: Scheduler) -> None:
    """With the term, by the one that begins and by the one that ends."""
    with capture_logs() as logs:
        await pass_by(3, leader, other)
        await pass_by(5, other, silent=(leader,))
        await pass_by(3, leader, other)
    said = [{key: line[key] for key in ("event", "term") if key in line} for line in logs]
    assert said == [
        {"event": "leading", "term": 1},
        {"event": "leading", "term": 2},
        {"event": "no longer leading"},
    ]


async def test_a_leader_that_stops_does_not_warn(leader: Scheduler) -> None:
    """It leaves the lead on purpose."""
    with capture_logs() as logs:
        await pass_by(3, leader)
        await leader.stop()
    assert [line["log_level"] for line in logs] == ["info", "info"]


async def test_it_looks_by_itself(store: SqlDatastore) -> None:
    """From its start to its stop, which hands the lead over."""
    first, second = [Leadership(store, SystemClock(), holder=name) for name in ("one", "two")]
    async with asyncio.timeout(30):
        await first.start()
        await first.leading.wait()
        await second.start()
        begun = await store.leader(SCHEDULER)
        while await store.leader(SCHEDULER) == begun:
            await asyncio.sleep(0.05)
        await first.stop()
        await second.leading.wait()
    assert (first.term, second.term) == (None, 2)
    await second.stop()
    assert (await store.leader(SCHEDULER)).holder is None


async def test_one_that_does_not_know_that_it_is_deposed_places_nothing(
    parts: Parts, workers: Workers
) -> None:
    """However sure it is: its leases are refused, and no worker is called."""
    async with scheduling(parts):  # It believes that it leads for ever.
        worker = await workers(slots=2)
        await worker.beat()
        await parts.add_job()
        held = worker.lease(await worker.next())
        leader = await parts.datastore.leader(SCHEDULER)
        assert await parts.datastore.take_lead(SCHEDULER, "other", after_term=leader.term)
        with capture_logs() as logs:
            await parts.add_job()
            await parts.bus.publish(subjects.JOBS_READY, b"")

            async def is_refused() -> bool:
                return any("term 1 is over" in line.get("reason", "") for line in logs)

            await until(is_refused, "a lease to be refused")
    assert await parts.datastore.leases() == [held]
    assert worker.waiting == 0
