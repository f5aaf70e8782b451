"""Leases end when their worker is silent, by a clock that does not jump."""

import psutil
import pytest

from dpip.errors import BusUnavailable, DpipError, NoAnswerInTime
from dpip.model.job import MAX_FAILURES, FailureCode, Lease
from dpip.model.worker import MOST_REFUSED, WorkerState
from tests.integration.controller.parts import LONGEST, TERM, Parts

JUST_LESS = TERM - 0.001
JUST_MORE = TERM + 0.001


async def test_a_lease_lapses_when_its_term_is_over(parts: Parts) -> None:
    """Not before; the job waits for its next attempt and the failure is counted."""
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []
    assert await parts.failures(lease.job_id) == 1


async def test_a_job_whose_leases_lapse_fails_as_lost(parts: Parts) -> None:
    """With the third one."""
    lease = await parts.lease()
    for _ in range(3):
        await parts.reaper.reap()
        await parts.pass_by(JUST_MORE)
        await parts.reaper.reap()
        if not await parts.failed():
            lease = await parts.lease_again(lease.job_id)
    (failed,) = await parts.failed()
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.WORKER_LOST


async def test_heartbeats_extend_what_they_list(parts: Parts) -> None:
    """For as long as they come; what they do not list lapses."""
    await parts.hello()
    held, dropped = await parts.lease(), await parts.lease()
    await parts.reaper.reap()
    await parts.beat(held, dropped)
    for _ in range(3):
        await parts.pass_by(JUST_LESS)
        await parts.beat(held)
        await parts.reaper.reap()
    assert await parts.datastore.leases() == [held]
    assert await parts.failures(dropped.job_id) == 1


async def test_a_lease_that_never_reached_its_worker_costs_nothing(parts: Parts) -> None:
    """The scheduler was killed before it called: the worker is there, and never listed it."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.beat()
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []
    assert await parts.failures(lease.job_id) == 0


async def test_a_lease_whose_worker_fell_silent_at_once_counts(parts: Parts) -> None:
    """The job may be what ended it, before it could list the lease."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.beat()
    await parts.pass_by(JUST_MORE)
    await parts.reaper.reap()
    assert await parts.failures(lease.job_id) == 1


class DeadBus:
    """In the place of a bus whose server does not answer."""

    def __init__(self, error: DpipError) -> None:
        self._error = error

    async def request(self, *_: object) -> bytes:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        NoAnswerInTime(subject="s", seconds=1),
        BusUnavailable(address="nats://test", reason="test"),
    ],
    ids=["frozen", "gone"],
)
async def test_an_outage_of_the_bus_is_nobodys_silence(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, error: DpipError
) -> None:
    """However long it is; when it is over, leases and workers have a term to be heard again."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.beat(lease)
    await parts.pass_by(TERM / 2)
    with monkeypatch.context() as outage:
        outage.setattr(parts.watch, "_bus", DeadBus(error))
        for _ in range(3):
            await parts.pass_by(TERM)
            await parts.roll_call.call()
            await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.roll_call.call()
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    assert (await parts.worker()).state is WorkerState.ALIVE
    await parts.pass_by(2 * TERM)
    await parts.roll_call.call()
    await parts.reaper.reap()
    assert await parts.failures(lease.job_id) == 1
    assert (await parts.worker()).state is WorkerState.LOST


async def test_a_server_that_is_frozen_is_found_out(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its connections stay as they are."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.beat(lease)
    servers = [each for each in psutil.Process().children() if each.name() == "nats-server"]
    server = max(servers, key=psutil.Process.create_time)  # Those of other tests are older.
    server.suspend()
    try:
        with monkeypatch.context() as hasty:
            hasty.setattr(parts.watch, "_bus", parts.bus)
            for _ in range(3):
                parts.clock.pass_by(TERM)
                await parts.watch.look()
    finally:
        server.resume()
    await parts.pass_by(JUST_LESS)
    await parts.roll_call.call()
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    assert (await parts.worker()).state is WorkerState.ALIVE


async def test_a_controller_that_was_frozen_blames_nobody(parts: Parts) -> None:
    """What it slept through is not counted; what it sees afterwards is."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.beat(lease)
    parts.clock.pass_by(100 * TERM)
    await parts.roll_call.call()
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    assert (await parts.worker()).state is WorkerState.ALIVE
    await parts.watch.look()
    await parts.pass_by(JUST_MORE)
    await parts.reaper.reap()
    assert await parts.failures(lease.job_id) == 1


async def test_an_extended_lease_lapses_a_term_after_the_last_heartbeat(parts: Parts) -> None:
    """Not later, and not after the term it had at first."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.pass_by(TERM / 2)
    await parts.beat(lease)
    await parts.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_a_heartbeat_extends_leases_of_its_worker_alone(parts: Parts) -> None:
    """Nobody keeps an attempt of somebody else alive."""
    await parts.hello()
    lease = await parts.lease("other")
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.beat(lease)
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_a_heartbeat_of_a_former_attempt_extends_nothing(parts: Parts) -> None:
    """The job has another lease by now."""
    await parts.hello()
    former = await parts.lease()
    await parts.attempts.give_back(former)
    await parts.lease_again(former.job_id)
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.beat(former)
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


@pytest.mark.parametrize("jump", [-1e9, -1.0, 1.0, 1e9])
async def test_jumps_of_the_wall_clock_change_no_deadline(parts: Parts, jump: float) -> None:
    """A lease lapses after its term, whatever the time of day is made to be."""
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.wall += jump
    await parts.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_after_a_restart_a_lease_has_a_full_term(parts: Parts) -> None:
    """A controller that was away does not hold that against the workers."""
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    parts.restart()
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_each_attempt_has_a_term_of_its_own(parts: Parts) -> None:
    """A new lease on the same job does not inherit the deadline of the last."""
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.attempts.give_back(lease)
    again = await parts.lease_again(lease.job_id)
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [again]


async def beat_for(parts: Parts, seconds: float, *leases: Lease) -> None:
    """Let time pass while a worker says that it holds ``leases``."""
    while seconds > 0:
        step = min(seconds, TERM / 2)
        await parts.pass_by(step)
        seconds -= step
        await parts.beat(*leases)
        await parts.reaper.reap()


async def test_no_lease_is_held_for_ever(parts: Parts) -> None:
    """Its longest life ends it, however its worker beats; not before, and each has its own."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await beat_for(parts, LONGEST - 0.001, lease)
    assert await parts.datastore.leases() == [lease]
    later = await parts.lease()
    await parts.reaper.reap()
    await beat_for(parts, 0.002, lease)
    assert await parts.datastore.leases() == [later]
    assert await parts.failures(lease.job_id) == 1


async def test_a_job_that_is_held_too_long_has_timed_out(parts: Parts) -> None:
    """Its owner reads how long it was held, when no attempt was any better."""
    await parts.hello()
    lease = await parts.lease()
    for number in range(MAX_FAILURES):
        if number:
            lease = await parts.lease_again(lease.job_id)
        await parts.reaper.reap()
        await beat_for(parts, LONGEST, lease)
    (failed,) = await parts.failed()
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.TIMED_OUT
    assert f"{LONGEST:g} s" in failed.failure.reason


async def test_one_who_holds_on_to_every_job_is_quarantined(parts: Parts) -> None:
    """What it holds beyond those that were held too long is free again, and has not failed."""
    await parts.hello()
    leases = [await parts.lease() for _ in range(MOST_REFUSED + 2)]
    await parts.reaper.reap()
    await beat_for(parts, LONGEST, *leases)
    assert (await parts.worker()).state is WorkerState.QUARANTINED
    assert await parts.datastore.leases() == []
    failures = sorted([await parts.failures(lease.job_id) for lease in leases])
    assert failures == [0, 0] + [1] * MOST_REFUSED


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_jumps_of_the_wall_clock_change_no_longest_life(parts: Parts, jump: float) -> None:
    """It is measured on the clock that does not jump."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.wall += jump
    await beat_for(parts, LONGEST - 0.001, lease)
    assert await parts.datastore.leases() == [lease]
    await beat_for(parts, 0.002, lease)
    assert await parts.datastore.leases() == []


async def test_the_lease_of_a_worker_that_was_told_to_stop_costs_nothing(parts: Parts) -> None:
    """It lapses as any other, and no failure is counted; after a restart neither."""
    await parts.hello()
    lease = await parts.lease()
    await parts.beat(lease, draining=True)
    await parts.roll_call.write_readings(history=False)
    for restarted in (False, True):
        if restarted:
            parts.restart()
            lease = await parts.lease_again(lease.job_id)
        await parts.reaper.reap()
        await parts.roll_call.call()
        await parts.pass_by(JUST_MORE)
        await parts.roll_call.call()
        await parts.reaper.reap()
        assert await parts.datastore.leases() == []
        assert await parts.failures(lease.job_id) == 0
