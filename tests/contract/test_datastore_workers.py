"""What ``dpip.ports.datastore.Workers`` promises, and the datastore as a whole."""

import asyncio
import math

import msgspec
import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import NotFound, WorkerGone, WorkerQuarantined
from dpip.model.activity import Activity, ActivityKind
from dpip.model.worker import AT_WORK, Command, Reading, Resources, WorkerState
from tests.contract.builders import (
    NOW,
    READING,
    add_workload,
    build_user,
    build_worker,
)
from tests.contract.conftest import Query

HISTORY = "SELECT worker, at, running FROM utilisation ORDER BY id"
BUSY = Resources(cpu=1.0, cores=64, memory_total=2**40, memory_available=0)


async def test_a_worker_comes_back_as_added(datastore: SqlDatastore) -> None:
    """Every field is kept, tags and GPUs too."""
    worker = build_worker()
    await datastore.add_worker(worker)
    assert await datastore.worker(worker.name) == worker


async def test_an_unknown_name_has_no_worker(datastore: SqlDatastore) -> None:
    """Names are compared to the letter."""
    await datastore.add_worker(build_worker("ada"))
    assert await datastore.worker("Ada") is None


async def test_workers_are_listed_by_name(datastore: SqlDatastore) -> None:
    """The order is that of the names, not that of their coming."""
    workers = {name: build_worker(name) for name in ("grace", "ada", "barbara")}
    for worker in workers.values():
        await datastore.add_worker(worker)
    assert await datastore.workers() == [workers["ada"], workers["barbara"], workers["grace"]]


async def test_a_worker_that_joins_is_recorded(datastore: SqlDatastore) -> None:
    """The record has the time at which it joined."""
    await datastore.add_worker(build_worker())
    assert await datastore.activities(limit=10) == [
        Activity(at=NOW, kind=ActivityKind.WORKER_JOINED, subject="ada")
    ]


async def test_a_worker_that_joins_again_replaces_itself(datastore: SqlDatastore) -> None:
    """Nothing of the earlier one is left, other workers stay, and both joinings are recorded."""
    other = build_worker("grace")
    again = msgspec.structs.replace(
        build_worker(instance="2"), tags=(), slots=1, resources=BUSY, joined_at=NOW + 1
    )
    for worker in (other, build_worker(instance="1", state="lost"), again):
        await datastore.add_worker(worker)
    assert await datastore.workers() == [again, other]
    joined = [each.at for each in await datastore.activities(limit=10) if each.subject == "ada"]
    assert joined == [NOW + 1, NOW]


async def test_what_a_worker_is_told_is_kept(datastore: SqlDatastore) -> None:
    """For that worker alone, through joining again, until it is told something else."""
    for name in ("ada", "grace"):
        await datastore.add_worker(build_worker(name))
    await datastore.set_command("ada", Command.PAUSE)
    with pytest.raises(NotFound):
        await datastore.set_command("mary", Command.PAUSE)
    await datastore.add_worker(build_worker("ada", instance="2"))
    assert [worker.command for worker in await datastore.workers()] == [Command.PAUSE, None]
    await datastore.set_command("ada", None)
    assert [worker.command for worker in await datastore.workers()] == [None, None]


async def test_a_heartbeat_is_kept_as_the_latest(datastore: SqlDatastore) -> None:
    """State, reading, jobs and time are those of the beat, of each worker its own."""
    for name in ("ada", "grace", "barbara"):
        await datastore.add_worker(build_worker(name))
    await datastore.record_heartbeats(
        [
            Reading("ada", WorkerState.DRAINING, BUSY, 3, NOW + 1),
            Reading("grace", WorkerState.ALIVE, READING, 1, NOW + 2),
        ],
        history=False,
    )
    ada, barbara, grace = await datastore.workers()
    changed = {"resources": BUSY, "running": 3, "last_seen": NOW + 1}
    assert ada == msgspec.structs.replace(build_worker(state="draining"), **changed)
    assert barbara == build_worker("barbara")
    assert (grace.running, grace.last_seen) == (1, NOW + 2)


@pytest.mark.parametrize("history", [True, False])
async def test_heartbeats_go_into_the_history_if_asked(
    datastore: SqlDatastore, query: Query, history: bool
) -> None:
    """Every beat is a row of the history, or none is."""
    await datastore.add_worker(build_worker())
    for second in (1, 2):
        await datastore.record_heartbeats(
            [Reading("ada", WorkerState.ALIVE, READING, second, NOW + second)], history=history
        )
    kept = [("ada", NOW + 1, 1), ("ada", NOW + 2, 2)]
    assert query(HISTORY) == (kept if history else [])


@pytest.mark.parametrize("history", [True, False])
async def test_no_heartbeats_are_nothing_to_do(
    datastore: SqlDatastore, query: Query, history: bool
) -> None:
    """An empty round changes nothing."""
    await datastore.add_worker(build_worker())
    await datastore.record_heartbeats([], history=history)
    assert await datastore.workers() == [build_worker()]
    assert query(HISTORY) == []


async def test_a_heartbeat_of_an_unknown_worker_adds_none(datastore: SqlDatastore) -> None:
    """Workers come in by joining only, and the beats beside it are kept."""
    await datastore.add_worker(build_worker())
    await datastore.record_heartbeats(
        [
            Reading("nobody", WorkerState.ALIVE, READING, 0, NOW + 1),
            Reading("ada", WorkerState.ALIVE, READING, 0, NOW + 1),
        ],
        history=False,
    )
    (worker,) = await datastore.workers()
    assert (worker.name, worker.last_seen) == ("ada", NOW + 1)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (WorkerState.LEFT, ActivityKind.WORKER_LEFT),
        (WorkerState.LOST, ActivityKind.WORKER_LOST),
    ],
)
async def test_the_end_of_a_worker_is_recorded(
    datastore: SqlDatastore, state: WorkerState, kind: ActivityKind
) -> None:
    """It stays in the list in that state, and other workers are as before."""
    for name in ("ada", "grace"):
        await datastore.add_worker(build_worker(name))
    await datastore.end_worker("ada", state, NOW + 5)
    ada, grace = await datastore.workers()
    assert (ada.state, ada.running) == (state, 0)
    assert grace == build_worker("grace")
    assert await datastore.activities(limit=1) == [Activity(at=NOW + 5, kind=kind, subject="ada")]


async def test_the_latest_activity_comes_first(datastore: SqlDatastore) -> None:
    """The limit keeps the latest, by what happened last and not by the clock."""
    await datastore.add_worker(build_worker("ada"))
    workload = await add_workload(datastore)
    await datastore.end_worker("ada", WorkerState.LEFT, NOW - 10)
    assert [each.kind for each in await datastore.activities(limit=2)] == [
        ActivityKind.WORKER_LEFT,
        ActivityKind.WORKLOAD_CREATED,
    ]
    everything = await datastore.activities(limit=10)
    assert [each.subject for each in everything] == ["ada", workload.id, "ada"]


async def test_history_is_forgotten_up_to_a_time(datastore: SqlDatastore, query: Query) -> None:
    """Older readings and activity go and are counted; what is as old as that or younger stays."""
    await datastore.add_worker(build_worker())
    for second in (1, 2, 3):
        beat = Reading("ada", WorkerState.ALIVE, READING, 0, NOW + second)
        await datastore.record_heartbeats([beat], history=True)
    await datastore.end_worker("ada", WorkerState.LEFT, NOW + 3)
    assert await datastore.prune_history(NOW + 2) == 2
    assert [row.at for row in query(HISTORY)] == [NOW + 2, NOW + 3]
    (left,) = await datastore.activities(limit=10)
    assert left.kind is ActivityKind.WORKER_LEFT
    assert await datastore.prune_history(NOW + 2) == 0


async def test_pruning_leaves_workers_and_workloads(datastore: SqlDatastore) -> None:
    """Only history is forgotten."""
    await datastore.add_worker(build_worker())
    workload = await add_workload(datastore)
    await datastore.prune_history(NOW + 1e6)
    assert await datastore.activities(limit=10) == []
    assert await datastore.workers() == [build_worker()]
    assert await datastore.workload(workload.id) == workload


async def test_workers_long_gone_are_forgotten(datastore: SqlDatastore) -> None:
    """Not one that is there, nor one in quarantine, nor one seen since."""
    for state in WorkerState:
        await datastore.add_worker(build_worker(state.value, state=state.value))
    assert await datastore.forget_workers(NOW) == 0
    assert {each.name for each in await datastore.workers()} == set(WorkerState)
    assert await datastore.forget_workers(NOW + 1) == 2
    assert {each.name for each in await datastore.workers()} == {
        *AT_WORK,
        "quarantined",
    }


async def test_a_reading_that_cannot_be_read_hides_no_worker(datastore: SqlDatastore) -> None:
    """It counts as zeros, until the next heartbeat."""
    for name in ("ada", "grace"):
        await datastore.add_worker(build_worker(name))
    unreadable = msgspec.structs.replace(READING, cpu=math.nan)
    for reading in (unreadable, READING):
        beat = Reading("ada", WorkerState.ALIVE, reading, 0, NOW)
        await datastore.record_heartbeats([beat], history=True)
        ada, grace = await datastore.workers()
        assert grace == build_worker("grace")
        if reading is unreadable:
            assert ada.resources == Resources(cpu=0, cores=0, memory_total=0, memory_available=0)
    assert ada == build_worker("ada")


async def test_the_fullest_worker_can_be_kept(datastore: SqlDatastore) -> None:
    """Every number that a message may have has room in the database."""
    most = Resources(cpu=1, cores=2**53, memory_total=2**53, memory_available=2**53)
    fullest = msgspec.structs.replace(build_worker(), slots=1000, prefetch=2000, resources=most)
    await datastore.add_worker(fullest)
    assert await datastore.worker("ada") == fullest


async def test_who_is_at_work_is_known_with_its_join_token(datastore: SqlDatastore) -> None:
    """Who has gone is left out, and who is in quarantine."""
    for state in WorkerState:
        await datastore.add_worker(build_worker(state.value, state=state.value, join_token="t"))
    await datastore.add_worker(build_worker("old"))
    at_work = await datastore.join_tokens_at_work()
    assert at_work == {"alive": "t", "paused": "t", "draining": "t", "old": None}


async def test_the_reason_of_a_pause_is_kept_while_it_lasts(datastore: SqlDatastore) -> None:
    """As its worker says it; one that has gone pauses no more."""
    await datastore.add_worker(build_worker())
    pauses = Reading("ada", WorkerState.PAUSED, READING, 0, NOW, "works from 20:00 to 08:00 only")
    await datastore.record_heartbeats([pauses], history=True)
    assert await datastore.worker("ada") == msgspec.structs.replace(
        build_worker(state="paused"), paused="works from 20:00 to 08:00 only"
    )
    works = Reading("ada", WorkerState.ALIVE, READING, 0, NOW)
    await datastore.record_heartbeats([works], history=False)
    assert await datastore.worker("ada") == build_worker()
    await datastore.record_heartbeats([pauses], history=False)
    await datastore.end_worker("ada", WorkerState.LOST, NOW)
    assert await datastore.worker("ada") == build_worker(state="lost")


# Commands


async def command(datastore: SqlDatastore) -> Command | None:
    worker = await datastore.worker("ada")
    assert worker is not None
    return worker.command


@pytest.mark.parametrize("told", Command)
async def test_a_command_is_kept_over_joining(datastore: SqlDatastore, told: Command) -> None:
    """It is the name's, not the process's; other workers hear nothing of it."""
    for name in ("ada", "grace"):
        await datastore.add_worker(build_worker(name))
    await datastore.set_command("ada", told)
    assert await command(datastore) is told
    await datastore.add_worker(build_worker(instance="2"))
    assert await command(datastore) is told
    assert await datastore.worker("grace") == build_worker("grace")


async def test_a_pause_stands_until_it_is_taken_back(datastore: SqlDatastore) -> None:
    """Whatever becomes of the worker."""
    await datastore.add_worker(build_worker())
    await datastore.set_command("ada", Command.PAUSE)
    await datastore.end_worker("ada", WorkerState.LEFT, NOW)
    await datastore.add_worker(build_worker(instance="2"))
    assert await command(datastore) is Command.PAUSE
    await datastore.set_command("ada", None)
    assert await command(datastore) is None


@pytest.mark.parametrize("end", [WorkerState.LEFT, WorkerState.LOST])
async def test_a_worker_that_was_to_drain_is_free_to_come_back(
    datastore: SqlDatastore, end: WorkerState
) -> None:
    """Once it has gone, the command is done with."""
    await datastore.add_worker(build_worker())
    await datastore.set_command("ada", Command.DRAIN)
    await datastore.end_worker("ada", end, NOW)
    assert await command(datastore) is None


@pytest.mark.parametrize("told", [None, *Command])
async def test_who_is_not_there_is_told_nothing(
    datastore: SqlDatastore, told: Command | None
) -> None:
    """Neither a stranger, nor one that has gone, nor one in quarantine."""
    for state in WorkerState:
        await datastore.add_worker(build_worker(state.value, state=state.value))
    with pytest.raises(NotFound):
        await datastore.set_command("nobody", told)
    for gone in ("left", "lost"):
        with pytest.raises(WorkerGone, match=gone):
            await datastore.set_command(gone, told)
    with pytest.raises(WorkerQuarantined):
        await datastore.set_command("quarantined", told)
    assert not any(each.command for each in await datastore.workers())
    await datastore.set_command("paused", told)


@pytest.mark.parametrize("told", [None, Command.PAUSE])
async def test_who_is_to_drain_is_told_nothing_else(
    datastore: SqlDatastore, told: Command | None
) -> None:
    """Whether it has begun to or not; to say it twice does no harm."""
    await datastore.add_worker(build_worker())
    for _ in range(2):
        await datastore.set_command("ada", Command.DRAIN)
    await datastore.add_worker(build_worker("grace", state="draining"))
    for name in ("ada", "grace"):
        with pytest.raises(WorkerGone, match="draining"):
            await datastore.set_command(name, told)
    assert await command(datastore) is Command.DRAIN


# The datastore as a whole


async def test_a_datastore_that_works_is_ready(datastore: SqlDatastore) -> None:
    """Nothing is raised and nothing is changed."""
    await datastore.ready()
    assert await datastore.activities(limit=1) == []


async def test_what_was_answered_is_there_after_opening_again(database_url: str) -> None:
    """Closing loses nothing, and opening an existing database keeps what is in it."""
    user = build_user()
    first = await SqlDatastore.open(database_url)
    await first.add_user(user)
    await first.close()
    second = await SqlDatastore.open(database_url)
    assert await second.users() == [user]
    await second.close()


async def test_closing_finishes_what_has_begun(database_url: str) -> None:
    """Writes that wait when it is closed are written and answered."""
    datastore = await SqlDatastore.open(database_url)
    users = [build_user(f"user{number:02}") for number in range(20)]
    writes = [asyncio.ensure_future(datastore.add_user(user)) for user in users]
    await asyncio.sleep(0)  # They are begun.
    await datastore.close()
    await asyncio.gather(*writes)
    second = await SqlDatastore.open(database_url)
    assert await second.users() == users
    await second.close()


async def test_a_write_is_seen_by_every_process_at_once(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """What one has been answered, the other one reads."""
    for number in range(5):
        workload = await add_workload(datastore, name=str(number))
        assert await second_datastore.workload(workload.id) == workload
