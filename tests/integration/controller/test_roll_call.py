"""The datastore's picture of the workers follows what is heard of them."""

import pytest

from dpip.errors import MalformedMessage, StorageUnavailable
from dpip.model.activity import ActivityKind
from dpip.model.worker import Command, WorkerState
from dpip.ports.datastore import Workers
from dpip.wire import subjects
from dpip.wire.codec import decode
from dpip.wire.messages import Told, Welcome
from tests.integration.controller.parts import TERM, Parts
from tests.nats import Received

JUST_LESS = TERM - 0.001
JUST_MORE = TERM + 0.001


async def test_a_heartbeat_is_recorded(parts: Parts) -> None:
    """Its reading, its number of jobs and its time."""
    await parts.hello()
    lease = await parts.lease()
    await parts.pass_by(3)
    await parts.beat(lease, cpu=0.875)
    await parts.roll_call.write_readings(history=False)
    worker = await parts.worker()
    assert (worker.resources.cpu, worker.running) == (0.875, 1)
    assert worker.last_seen == parts.clock.now() == worker.joined_at + 3
    assert worker.state is WorkerState.ALIVE


async def test_a_draining_worker_is_shown_as_one(parts: Parts) -> None:
    """As it says itself."""
    await parts.hello()
    await parts.beat(draining=True)
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).state is WorkerState.DRAINING


async def test_a_paused_worker_is_shown_as_one(parts: Parts) -> None:
    """With its reason, for as long as it gives one; one that drains is past pausing."""
    await parts.hello()
    for draining, reason, state in [
        (False, "works at night only", WorkerState.PAUSED),
        (False, None, WorkerState.ALIVE),
        (True, "works at night only", WorkerState.DRAINING),
    ]:
        await parts.beat(draining=draining, paused=reason)
        await parts.roll_call.write_readings(history=False)
        worker = await parts.worker()
        assert (worker.state, worker.paused) == (state, reason)


async def test_a_paused_worker_is_there(parts: Parts) -> None:
    """Its heartbeats count after a restart, and it is lost if there are none."""
    await parts.hello()
    await parts.beat(paused="works at night only")
    await parts.roll_call.write_readings(history=False)
    parts.restart()
    await parts.beat(paused="works at night only", cpu=0.125)
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).resources.cpu == 0.125
    await parts.pass_by(JUST_MORE)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.LOST


async def test_a_command_is_told_until_it_is_obeyed(parts: Parts) -> None:
    """Each heartbeat that shows another one is answered so, and no other."""
    told = Received()
    await parts.hello()
    await parts.hello("other")
    await parts.worker_bus.subscribe(subjects.command("w", "one"), told)
    for stands, obeyed in [(Command.PAUSE, None), (None, Command.PAUSE), (Command.DRAIN, None)]:
        await parts.datastore.set_command("w", stands)
        await parts.roll_call.call()
        for _ in range(2):
            await parts.beat(name="other")
            await parts.beat(command=obeyed)
            subject, payload = await told.next()
            assert decode(payload, Told, subject) == Told(command=stands)
        await parts.beat(command=stands)
    await parts.beat(command=None)  # Answered behind the last one, which was not.
    await told.next()
    assert told.waiting == 0


async def test_nothing_is_told_before_it_is_known(parts: Parts) -> None:
    """A controller that has just started does not call a paused worker to work."""
    told = Received()
    await parts.hello()
    await parts.worker_bus.subscribe(subjects.command("w", "one"), told)
    await parts.datastore.set_command("w", Command.PAUSE)
    parts.restart()
    await parts.beat(command=Command.PAUSE)
    await parts.roll_call.call()
    await parts.beat(command=None)
    subject, payload = await told.next()
    assert decode(payload, Told, subject) == Told(command=Command.PAUSE)
    assert told.waiting == 0


@pytest.mark.parametrize("stands", [None, *Command])
async def test_a_worker_that_joins_learns_what_stands(parts: Parts, stands: Command | None) -> None:
    """The next process of the name obeys it from the first."""
    await parts.hello()
    await parts.datastore.set_command("w", stands)
    welcome = await parts.hello(instance="two")
    assert isinstance(welcome, Welcome)
    assert welcome.command is stands


async def test_the_latest_reading_counts(parts: Parts) -> None:
    """Of many between two writes."""
    await parts.hello()
    for cpu in (0.25, 0.5, 0.75):
        await parts.beat(cpu=cpu)
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).resources.cpu == 0.75


@pytest.mark.parametrize(("history", "rows"), [(True, 1), (False, 0)])
async def test_history_is_kept_where_it_is_asked_for(
    parts: Parts, history: bool, rows: int
) -> None:
    """A reading is written once, however often the chore runs."""
    await parts.hello()
    await parts.datastore.prune_history(parts.clock.now() + 1)
    await parts.beat()
    await parts.roll_call.write_readings(history=history)
    await parts.roll_call.write_readings(history=history)
    assert await parts.datastore.prune_history(parts.clock.now() + 1) == rows


async def test_a_silent_worker_is_lost_after_its_term(parts: Parts) -> None:
    """Not a moment earlier, and it is recorded once."""
    await parts.hello()
    await parts.pass_by(JUST_LESS)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.ALIVE
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.roll_call.call()
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.LOST
    kinds = [activity.kind for activity in await parts.datastore.activities(limit=10)]
    assert kinds.count(ActivityKind.WORKER_LOST) == 1


async def test_a_worker_that_beats_is_not_lost(parts: Parts) -> None:
    """However long it lives; a draining one neither."""
    await parts.hello()
    for draining in (False, False, True, True):
        await parts.pass_by(JUST_LESS)
        await parts.beat(draining=draining)
        await parts.roll_call.call()
        await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).state is WorkerState.DRAINING


async def test_a_draining_worker_that_falls_silent_has_left(parts: Parts) -> None:
    """It had been told to; its silence is noticed as that of any other, and recorded once."""
    await parts.hello()
    await parts.beat(draining=True)
    await parts.roll_call.write_readings(history=False)
    await parts.pass_by(JUST_LESS)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.DRAINING
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.roll_call.call()
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.LEFT
    kinds = [activity.kind for activity in await parts.datastore.activities(limit=10)]
    assert kinds.count(ActivityKind.WORKER_LEFT) == 1


async def test_a_reading_not_yet_written_does_not_revive_the_lost(parts: Parts) -> None:
    """It is older than the silence."""
    await parts.hello()
    await parts.beat()
    await parts.pass_by(JUST_MORE)
    await parts.roll_call.call()
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).state is WorkerState.LOST


async def test_a_lost_worker_that_beats_again_is_asked_to_join(parts: Parts) -> None:
    """A frozen process that thaws is as good as before once it has said hello again."""
    await parts.hello()
    await parts.pass_by(JUST_MORE)
    await parts.roll_call.call()
    asked = Received()
    await parts.worker_bus.subscribe(subjects.rejoin("w", "one"), asked)
    await parts.beat()
    await asked.next()
    assert (await parts.worker()).state is WorkerState.LOST
    await parts.hello()
    await parts.beat()
    await parts.roll_call.write_readings(history=False)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.ALIVE


async def test_a_worker_that_joins_anew_has_a_full_term(parts: Parts) -> None:
    """Its name's former silence is not its own."""
    await parts.hello()
    await parts.beat()
    await parts.pass_by(JUST_MORE)
    await parts.roll_call.call()
    await parts.hello(instance="two")
    await parts.pass_by(JUST_LESS)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.ALIVE


@pytest.mark.parametrize("jump", [-1e6, 1e6])
async def test_the_wall_clock_loses_no_worker_and_saves_none(parts: Parts, jump: float) -> None:
    """Silence is measured on the clock that does not jump."""
    await parts.hello()
    parts.clock.wall += jump
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.ALIVE
    await parts.pass_by(JUST_MORE)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.LOST


async def test_after_a_restart_each_worker_has_a_full_term(parts: Parts) -> None:
    """The time in which there was no controller is nobody's silence."""
    await parts.hello()
    await parts.pass_by(10 * TERM)
    parts.restart()
    await parts.roll_call.call()
    await parts.pass_by(JUST_LESS)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.ALIVE


async def test_after_a_restart_a_known_worker_is_known(parts: Parts) -> None:
    """Its heartbeats count, without another hello."""
    await parts.hello()
    parts.restart()
    await parts.beat(cpu=0.125)
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).resources.cpu == 0.125


@pytest.mark.parametrize(("name", "instance"), [("stranger", "one"), ("w", "former")])
async def test_who_is_not_known_is_asked_to_join(parts: Parts, name: str, instance: str) -> None:
    """A stranger, and a process whose name is another's now; neither is written down."""
    await parts.hello(instance="one")
    asked = Received()
    await parts.worker_bus.subscribe(subjects.rejoin(name, instance), asked)
    await parts.beat(name=name, instance=instance, cpu=1)
    assert await asked.next() == (subjects.rejoin(name, instance), b"")
    await parts.roll_call.write_readings(history=False)
    assert [worker.name for worker in await parts.datastore.workers()] == ["w"]
    assert (await parts.worker()).resources.cpu == 0.5


async def test_a_heartbeat_of_a_former_process_keeps_no_lease(parts: Parts) -> None:
    """The attempts are the present one's."""
    await parts.hello()
    lease = await parts.lease()
    await parts.reaper.reap()
    await parts.pass_by(JUST_LESS)
    await parts.beat(lease, instance="former")
    await parts.pass_by(JUST_MORE - JUST_LESS)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []


async def test_noise_is_no_heartbeat(parts: Parts) -> None:
    """It is malformed, and nothing is written."""
    await parts.hello()
    with pytest.raises(MalformedMessage):
        await parts.roll_call.heartbeat(subjects.heartbeat("w", "one"), b"\x81\xa4type")


async def test_readings_survive_a_datastore_that_is_away(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is written the next time, unless there is something newer."""
    await parts.hello("a")
    await parts.hello("b")
    await parts.beat(name="a", cpu=0.25)
    await parts.beat(name="b", cpu=0.25)
    workers: Workers = parts.datastore

    async def away(*_: object, **__: object) -> None:
        await parts.beat(name="b", cpu=0.75)
        raise StorageUnavailable(storage="datastore", reason="test")

    with monkeypatch.context() as patched:
        patched.setattr(workers, "record_heartbeats", away)
        with pytest.raises(StorageUnavailable):
            await parts.roll_call.write_readings(history=False)
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker("a")).resources.cpu == 0.25
    assert (await parts.worker("b")).resources.cpu == 0.75


async def test_a_quarantined_worker_is_asked_to_say_hello(parts: Parts) -> None:
    """Its heartbeats change nothing, so that it learns where it stands, and of its release."""
    await parts.hello()
    await parts.beat()
    await parts.quarantine()
    quarantined = await parts.worker()
    await parts.roll_call.call()
    hints = Received()
    await parts.worker_bus.subscribe(subjects.rejoin("w", "one"), hints)
    await parts.pass_by(1)
    await parts.beat(cpu=0.9)
    assert await hints.next() == (subjects.rejoin("w", "one"), b"")
    await parts.roll_call.write_readings(history=False)
    assert await parts.worker() == quarantined
    await parts.datastore.release_worker("w", parts.clock.now())
    await parts.beat()
    await hints.next()
    await parts.hello()
    await parts.beat(cpu=0.25)
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).resources.cpu == 0.25


async def test_a_quarantined_worker_is_never_lost(parts: Parts) -> None:
    """However long it is silent."""
    await parts.hello()
    await parts.quarantine()
    await parts.pass_by(10 * TERM)
    await parts.roll_call.call()
    assert (await parts.worker()).state is WorkerState.QUARANTINED
