"""Who may join, and what becomes of the jobs of those who go."""

import asyncio
import hashlib

import msgspec
import pytest
from msgspec import structs

from dpip.errors import MalformedMessage, WorkerQuarantined
from dpip.model.activity import ActivityKind
from dpip.model.job import FailureCode
from dpip.model.worker import Command, WorkerState
from dpip.wire import subjects
from dpip.wire.messages import PROTOCOL, Refusal, Welcome
from tests.integration.controller.parts import RESOURCES, Parts
from tests.nats import JOIN_TOKEN, Received


async def welcomed(parts: Parts, name: str = "w", instance: str = "one") -> Welcome:
    answer = await parts.hello(name, instance)
    assert isinstance(answer, Welcome), answer
    return answer


async def refused(parts: Parts, name: str = "w", instance: str = "one") -> Refusal:
    answer = await parts.hello(name, instance)
    assert isinstance(answer, Refusal), answer
    return answer


async def connect(parts: Parts, instance: str = "one") -> None:
    """Answer for a process of the worker ``w``."""
    await parts.worker_bus.subscribe(subjects.ping("w", instance), Received(answer=b""))


async def speaks_for(parts: Parts, token: str) -> str | None:
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    caller = await parts.datastore.caller(token_hash, parts.clock.now())
    return caller.worker if caller else None


async def test_a_worker_is_told_where_the_images_are(parts: Parts) -> None:
    """With how often to beat, and a token that speaks for it alone."""
    welcome = await welcomed(parts)
    assert welcome.image_store_endpoint == "http://images:80"
    assert welcome.heartbeat_seconds == 1.5
    assert await speaks_for(parts, welcome.image_store_token) == "w"


async def test_a_worker_is_known_as_it_introduced_itself(parts: Parts) -> None:
    """Its joining is recorded, too."""
    await welcomed(parts)
    worker = await parts.worker()
    assert (worker.instance, worker.tags, worker.slots, worker.prefetch) == (
        "one",
        ("fast",),
        2,
        1,
    )
    assert (worker.state, worker.resources) == (WorkerState.ALIVE, RESOURCES)
    assert worker.joined_at == worker.last_seen == parts.clock.now()
    joined = (await parts.datastore.activities(limit=1))[0]
    assert (joined.kind, joined.subject) == (ActivityKind.WORKER_JOINED, "w")


async def test_another_version_is_refused_by_name_of_both(parts: Parts) -> None:
    """For good: asking again does not change a version."""
    answer = await parts.hello(protocol=PROTOCOL + 6)
    assert isinstance(answer, Refusal)
    assert answer.final
    assert f"protocol {PROTOCOL + 6}" in answer.reason
    assert f"controller {PROTOCOL}" in answer.reason
    assert await parts.datastore.worker("w") is None


async def test_the_name_of_a_worker_that_answers_is_taken(parts: Parts) -> None:
    """The holder keeps its token and its jobs; the other may ask again later."""
    welcome = await welcomed(parts)
    await connect(parts)
    lease = await parts.lease()
    refusal = await refused(parts, instance="two")
    assert "alive already" in refusal.reason
    assert not refusal.final
    assert (await parts.worker()).instance == "one"
    assert await speaks_for(parts, welcome.image_store_token) == "w"
    assert await parts.datastore.leases() == [lease]


async def test_the_name_of_a_dead_worker_is_taken_over_at_once(parts: Parts) -> None:
    """Its token ends with it, and its leases end as ``worker_lost``, those of others do not."""
    former = await welcomed(parts)
    lost, kept = await parts.lease(), await parts.lease("other")
    welcome = await welcomed(parts, instance="two")
    assert (await parts.worker()).instance == "two"
    assert await speaks_for(parts, former.image_store_token) is None
    assert await speaks_for(parts, welcome.image_store_token) == "w"
    assert await parts.datastore.leases() == [kept]
    assert await parts.failures(lost.job_id) == 1


async def test_who_takes_over_from_a_worker_that_was_told_to_stop_costs_nothing(
    parts: Parts,
) -> None:
    """Stopped a second time, it gave nothing back; its last word may not be written down yet."""
    await welcomed(parts)
    lease = await parts.lease()
    await parts.beat(lease, draining=True)
    await welcomed(parts, instance="two")
    assert await parts.datastore.leases() == []
    assert await parts.failures(lease.job_id) == 0
    assert (await parts.worker()).state is WorkerState.ALIVE
    again = await parts.lease_again(lease.job_id)
    await welcomed(parts, instance="three")
    assert await parts.failures(again.job_id) == 1


async def test_a_job_that_outlives_three_workers_fails_as_lost(parts: Parts) -> None:
    """A job that kills its workers does not go on for ever."""
    lease = await parts.lease()
    await welcomed(parts, instance="1")
    for instance in ("2", "3"):
        await welcomed(parts, instance=instance)
        lease = await parts.lease_again(lease.job_id)
    await welcomed(parts, instance="4")
    (failed,) = await parts.failed()
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.WORKER_LOST


@pytest.mark.parametrize("state", [WorkerState.LEFT, WorkerState.LOST])
async def test_the_name_of_one_who_is_gone_is_free(parts: Parts, state: WorkerState) -> None:
    """Also where the process still answers: whoever was given up for lost says hello again."""
    await welcomed(parts)
    await connect(parts)
    await parts.datastore.end_worker("w", state, parts.clock.now())
    await welcomed(parts, instance="two")


async def test_the_same_process_may_say_hello_again(parts: Parts) -> None:
    """When an answer was lost on its way; its jobs stay in its hand."""
    await welcomed(parts)
    await connect(parts)
    lease = await parts.lease()
    welcome = await welcomed(parts)
    assert await speaks_for(parts, welcome.image_store_token) == "w"
    assert await parts.datastore.leases() == [lease]


async def test_a_worker_that_says_goodbye_has_left(parts: Parts) -> None:
    """What it still held goes to others, and that counts as no failure."""
    await welcomed(parts)
    lease, kept = await parts.lease(), await parts.lease("other")
    await parts.goodbye()
    assert (await parts.worker()).state is WorkerState.LEFT
    assert await parts.datastore.leases() == [kept]
    assert await parts.failures(lease.job_id) == 0
    left = (await parts.datastore.activities(limit=1))[0]
    assert (left.kind, left.subject) == (ActivityKind.WORKER_LEFT, "w")


async def test_a_last_reading_does_not_bring_back_who_has_left(parts: Parts) -> None:
    """A draining worker beats once more just before it goes."""
    await welcomed(parts)
    await parts.beat(draining=True)
    await parts.goodbye()
    await parts.roll_call.write_readings(history=False)
    assert (await parts.worker()).state is WorkerState.LEFT


@pytest.mark.parametrize(("name", "instance"), [("w", "earlier"), ("stranger", "one")])
async def test_a_goodbye_of_nobody_known_changes_nothing(
    parts: Parts, name: str, instance: str
) -> None:
    """A former process of a name, and a stranger, have nothing to end."""
    await welcomed(parts)
    lease = await parts.lease()
    await parts.goodbye(name, instance)
    assert (await parts.worker()).state is WorkerState.ALIVE
    assert await parts.datastore.leases() == [lease]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80"])
async def test_noise_is_no_hello_and_no_goodbye(parts: Parts, payload: bytes) -> None:
    """It is malformed, and nobody joins or leaves by it."""
    with pytest.raises(MalformedMessage):
        await parts.registration.hello(subjects.hello("t", "w", "one"), payload)
    with pytest.raises(MalformedMessage):
        await parts.registration.goodbye(subjects.goodbye("w", "one"), payload)
    assert await parts.datastore.workers() == []


async def test_those_who_wait_hear_of_a_job_that_is_free_again(parts: Parts) -> None:
    """The scheduler is told, so that it need not look by itself."""
    await welcomed(parts)
    await parts.lease()
    hints = Received()
    await parts.bus.subscribe(subjects.JOBS_READY, hints)
    await parts.goodbye()
    assert await hints.next() == (subjects.JOBS_READY, b"")


@pytest.mark.parametrize("instance", ["one", "two"])
async def test_a_quarantined_worker_is_refused_until_it_is_released(
    parts: Parts, instance: str
) -> None:
    """Under its name no process joins; each is told why and what to do, and may ask again."""
    await welcomed(parts)
    await connect(parts)
    await parts.quarantine()
    refusal = await refused(parts, instance=instance)
    assert "quarantined" in refusal.reason
    assert "'dpip worker release w'" in refusal.reason
    assert not refusal.final
    assert (await parts.worker()).state is WorkerState.QUARANTINED
    await parts.datastore.release_worker("w", parts.clock.now())
    welcome = await welcomed(parts, instance=instance)
    assert await speaks_for(parts, welcome.image_store_token) == "w"
    assert (await parts.worker()).state is WorkerState.ALIVE


async def test_a_worker_quarantined_while_it_joins_is_not_taken_in(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The datastore has the last word, and the new token speaks for nobody."""
    await welcomed(parts)
    add_worker_token = parts.datastore.add_worker_token
    tokens = []

    async def add_then_quarantine(token_hash: str, *, worker: str, created_at: float) -> None:
        tokens.append(token_hash)
        await add_worker_token(token_hash, worker=worker, created_at=created_at)
        await parts.quarantine()

    monkeypatch.setattr(parts.datastore, "add_worker_token", add_then_quarantine)
    with pytest.raises(WorkerQuarantined):
        await parts.hello(instance="two")
    assert await parts.datastore.caller(tokens[0], parts.clock.now()) is None
    assert (await parts.worker()).state is WorkerState.QUARANTINED


async def test_a_goodbye_does_not_end_a_quarantine(parts: Parts) -> None:
    """Else leaving and coming again would."""
    await welcomed(parts)
    await parts.quarantine()
    await parts.goodbye()
    assert (await parts.worker()).state is WorkerState.QUARANTINED


async def test_a_goodbye_of_an_impostor_ends_nothing(parts: Parts) -> None:
    """A process of the same name that was not taken in cannot send the other away."""
    await welcomed(parts)
    lease = await parts.lease()
    await parts.goodbye(instance="impostor")
    assert (await parts.worker()).state is WorkerState.ALIVE
    assert await parts.datastore.leases() == [lease]


async def test_a_hello_by_a_token_that_is_gone_is_refused(parts: Parts) -> None:
    """Its connection is about to be closed; it may come back with another token."""
    answer = await parts.hello(join_token="0" * 12)
    assert isinstance(answer, Refusal)
    assert not answer.final
    assert await parts.datastore.workers() == []


async def test_a_hello_by_a_token_that_has_expired_is_refused(parts: Parts) -> None:
    """From that moment on."""
    expiring = msgspec.structs.replace(JOIN_TOKEN, expires_at=parts.clock.now() + 10)
    await parts.datastore.replace_join_token(expiring)
    await welcomed(parts)
    parts.clock.pass_by(10)
    assert "not in force" in (await refused(parts)).reason


async def test_the_token_of_a_worker_that_left_is_dead(parts: Parts) -> None:
    """As is that of one which is lost, until it says hello again."""
    welcome = await welcomed(parts)
    await parts.goodbye()
    assert await speaks_for(parts, welcome.image_store_token) is None
    again = await welcomed(parts)
    await parts.roll_call.end("w", WorkerState.LOST)
    assert await speaks_for(parts, again.image_store_token) is None


async def test_a_process_that_says_hello_again_is_answered_as_before(parts: Parts) -> None:
    """It keeps its token, nothing is written, and what an administrator has told it is said."""
    first = await welcomed(parts)
    activities = await parts.datastore.activities(limit=100)
    await parts.datastore.set_command("w", Command.PAUSE)
    again = await welcomed(parts)
    assert again == structs.replace(first, command=Command.PAUSE)
    assert await parts.datastore.activities(limit=100) == activities


async def test_one_that_has_gone_gets_another_token(parts: Parts) -> None:
    """The one that it had is dead."""
    first = await welcomed(parts)
    await parts.goodbye()
    assert (await welcomed(parts)).image_store_token != first.image_store_token


async def test_of_two_processes_that_join_at_once_one_is_refused(parts: Parts) -> None:
    """At once, whatever the other one waits for."""
    answers = await asyncio.gather(parts.hello(instance="one"), parts.hello(instance="two"))
    refused = [each for each in answers if isinstance(each, Refusal)]
    assert len(refused) == 1
    assert "is joining" in refused[0].reason
    assert not refused[0].final
