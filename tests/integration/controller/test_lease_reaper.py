"""Leases end when their worker is silent, by a clock that does not jump."""

import pytest

from dpip.model.job import FailureCode
from tests.integration.controller.parts import TERM, Parts

JUST_LESS = TERM - 0.001
JUST_MORE = TERM + 0.001


async def test_a_lease_lapses_when_its_term_is_over(parts: Parts) -> None:
    """Not before; the job waits for its next attempt and the failure is counted."""
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    parts.clock.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []
    assert await parts.failures(lease.job_id) == 1


async def test_a_job_whose_leases_lapse_fails_as_lost(parts: Parts) -> None:
    """With the third one."""
    lease = await parts.lease()
    for _ in range(3):
        await parts.reaper.reap()
        parts.clock.pass_by(JUST_MORE)
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
    for _ in range(3):
        parts.clock.pass_by(JUST_LESS)
        await parts.beat(held)
        await parts.reaper.reap()
    assert await parts.datastore.leases() == [held]
    assert await parts.failures(dropped.job_id) == 1


async def test_an_extended_lease_lapses_a_term_after_the_last_heartbeat(parts: Parts) -> None:
    """Not later, and not after the term it had at first."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.pass_by(TERM / 2)
    await parts.beat(lease)
    parts.clock.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    parts.clock.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_a_heartbeat_extends_leases_of_its_worker_alone(parts: Parts) -> None:
    """Nobody keeps an attempt of somebody else alive."""
    await parts.hello()
    lease = await parts.lease("other")
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    await parts.beat(lease)
    parts.clock.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_a_heartbeat_of_a_former_attempt_extends_nothing(parts: Parts) -> None:
    """The job has another lease by now."""
    await parts.hello()
    former = await parts.lease()
    await parts.attempts.give_back(former)
    await parts.lease_again(former.job_id)
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    await parts.beat(former)
    parts.clock.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


@pytest.mark.parametrize("jump", [-1e9, -1.0, 1.0, 1e9])
async def test_jumps_of_the_wall_clock_change_no_deadline(parts: Parts, jump: float) -> None:
    """A lease lapses after its term, whatever the time of day is made to be."""
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.wall += jump
    parts.clock.steady += JUST_LESS
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    parts.clock.steady += JUST_MORE - JUST_LESS
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_after_a_restart_a_lease_has_a_full_term(parts: Parts) -> None:
    """A controller that was away does not hold that against the workers."""
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    parts.restart()
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [lease]
    parts.clock.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_each_attempt_has_a_term_of_its_own(parts: Parts) -> None:
    """A new lease on the same job does not inherit the deadline of the last."""
    lease = await parts.lease()
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    await parts.attempts.give_back(lease)
    again = await parts.lease_again(lease.job_id)
    await parts.reaper.reap()
    parts.clock.pass_by(JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == [again]
