"""What becomes of a job when its worker tells how an attempt ended."""

import msgspec
import pytest

from dpip.errors import MalformedMessage
from dpip.model.job import MAX_FAILURES, Failure, FailureCode, Lease
from dpip.model.worker import MOST_REFUSED, WorkerState
from dpip.model.workload import JobCounts
from dpip.wire import subjects
from dpip.wire.messages import OutcomeKind
from tests.integration.controller.parts import FAILURE, Parts
from tests.nats import Received


@pytest.fixture(autouse=True)
async def taken_in(parts: Parts) -> None:
    """The worker that tells, and another."""
    for name in ("w", "other"):
        await parts.hello(name)


EVERY_KIND = pytest.mark.parametrize("kind", list(OutcomeKind))


async def test_a_failed_attempt_is_counted(parts: Parts) -> None:
    """The job waits for its next one."""
    lease = await parts.lease()
    await parts.outcome(lease, OutcomeKind.FAILED, FAILURE)
    assert await parts.counts() == JobCounts(pending=1)
    assert await parts.failures(lease.job_id) == 1


async def test_a_job_fails_with_its_last_attempt(parts: Parts) -> None:
    """Its owner reads the code and the sentence that the worker gave."""
    lease = await parts.lease()
    for number in range(MAX_FAILURES):
        if number:
            lease = await parts.lease_again(lease.job_id)
        await parts.outcome(lease, OutcomeKind.FAILED, FAILURE)
    assert await parts.counts() == JobCounts(failed=1)
    assert [job.failure for job in await parts.failed()] == [FAILURE]


async def test_a_returned_job_has_not_failed(parts: Parts) -> None:
    """However often it is returned."""
    lease = await parts.lease()
    for _ in range(MAX_FAILURES + 1):
        await parts.outcome(lease, OutcomeKind.RETURNED)
        assert await parts.failures(lease.job_id) == 0
        lease = await parts.lease_again(lease.job_id)


async def test_a_failure_without_a_reason_is_counted_too(parts: Parts) -> None:
    """Something is said in its place."""
    lease = await parts.lease()
    for number in range(MAX_FAILURES):
        if number:
            lease = await parts.lease_again(lease.job_id)
        await parts.outcome(lease, OutcomeKind.FAILED)
    (failed,) = await parts.failed()
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.CRASHED
    assert failed.failure.reason


async def test_an_absurd_reason_is_kept_as_it_can_be_shown(parts: Parts) -> None:
    """Cut off, without what a database cannot keep, and without anything for a terminal."""
    lease = await parts.lease()
    absurd = Failure(code=FailureCode.CRASHED, reason="\0\x1b[2J\nready" + 100_000 * "x")
    for number in range(MAX_FAILURES):
        if number:
            lease = await parts.lease_again(lease.job_id)
        await parts.outcome(lease, OutcomeKind.FAILED, absurd)
    (failed,) = await parts.failed()
    assert failed.failure is not None
    assert failed.failure.reason == r"\x00\x1b[2J\nready" + 988 * "x" + "…"


async def test_a_failure_told_twice_counts_once(parts: Parts) -> None:
    """A worker that missed the acknowledgement tells it again."""
    lease = await parts.lease()
    for _ in range(MAX_FAILURES):
        await parts.outcome(lease, OutcomeKind.FAILED, FAILURE)
    assert await parts.counts() == JobCounts(pending=1)
    assert await parts.failures(lease.job_id) == 1


@EVERY_KIND
async def test_a_former_attempt_has_no_say(parts: Parts, kind: OutcomeKind) -> None:
    """The job is in other hands, and stays there."""
    former = await parts.lease()
    await parts.attempts.give_back(former)
    present = await parts.lease_again(former.job_id)
    await parts.outcome(former, kind, FAILURE)
    assert await parts.datastore.leases() == [present]


@EVERY_KIND
async def test_another_worker_has_no_say(parts: Parts, kind: OutcomeKind) -> None:
    """The attempt is that of the worker whom the subject names."""
    lease = await parts.lease()
    await parts.outcome(lease, kind, FAILURE, worker="other")
    assert await parts.datastore.leases() == [lease]


@EVERY_KIND
async def test_an_outcome_after_the_result_is_harmless(parts: Parts, kind: OutcomeKind) -> None:
    """The result is committed, and stays so."""
    lease = await parts.lease()
    job = await parts.datastore.leased_job(lease)
    assert job is not None
    await parts.datastore.complete(
        lease, parts.image(job.original.id), milliseconds=1, now=parts.clock.now()
    )
    await parts.outcome(lease, kind, FAILURE)
    assert await parts.counts() == JobCounts(done=1)


@EVERY_KIND
async def test_an_outcome_of_no_job_is_harmless(parts: Parts, kind: OutcomeKind) -> None:
    """It is acknowledged, so that its worker does not tell it for ever."""
    await parts.outcome(Lease(job_id="none", attempt=1, worker="w"), kind, FAILURE)


async def test_done_alone_settles_nothing(parts: Parts) -> None:
    """Only the upload of a result does."""
    lease = await parts.lease()
    await parts.outcome(lease, OutcomeKind.DONE)
    assert await parts.datastore.leases() == [lease]


async def test_one_who_says_done_and_hands_in_nothing_is_quarantined(parts: Parts) -> None:
    """Each of its jobs is free again at the next look, as after a result that is refused."""
    leases = [await parts.lease() for _ in range(MOST_REFUSED)]
    for lease in leases:
        await parts.outcome(lease, OutcomeKind.DONE)
    await parts.reaper.reap()
    assert await parts.datastore.leases() == []
    assert [await parts.failures(lease.job_id) for lease in leases] == [1] * MOST_REFUSED
    worker = await parts.worker()
    assert worker.state is WorkerState.QUARANTINED
    assert worker.paused is not None
    assert "handed in no result" in worker.paused


async def test_done_that_is_said_while_leases_are_read_is_believed(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result may have come in after the reading."""
    lease = await parts.lease()
    read = parts.datastore.leases

    async def read_slowly() -> list[Lease]:
        leases = await read()
        await parts.outcome(lease, OutcomeKind.DONE)
        return leases

    monkeypatch.setattr(parts.datastore, "leases", read_slowly)
    await parts.reaper.reap()
    assert await read() == [lease]


@pytest.mark.parametrize("code", [FailureCode.WORKER_LOST, FailureCode.DOES_NOT_FIT])
async def test_a_worker_cannot_say_what_is_for_others_to_find(
    parts: Parts, code: FailureCode
) -> None:
    """Else it could fail every picture, and have nothing held against it."""
    for _ in range(MOST_REFUSED):
        lease = await parts.lease()
        await parts.outcome(lease, OutcomeKind.FAILED, Failure(code=code, reason="So it is."))
        lease = await parts.lease_again(lease.job_id, "other")
        job = await parts.datastore.leased_job(lease)
        assert job is not None
        result = parts.image(job.original.id)
        await parts.datastore.complete(lease, result, milliseconds=1, now=parts.clock.now())
    assert (await parts.worker()).state is WorkerState.QUARANTINED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        msgspec.msgpack.encode({"type": "Outcome", "job_id": "j"}),
        msgspec.msgpack.encode(
            {"type": "Outcome", "job_id": "j", "attempt": 1, "kind": "exploded"}
        ),
    ],
)
async def test_noise_is_no_outcome(parts: Parts, payload: bytes) -> None:
    """It is malformed, and no lease ends by it."""
    lease = await parts.lease()
    with pytest.raises(MalformedMessage):
        await parts.outcomes.outcome(subjects.outcome("w", "one"), payload)
    assert await parts.datastore.leases() == [lease]


async def test_a_job_that_waits_again_is_announced(parts: Parts) -> None:
    """The scheduler hears of it, after a failure and after a return."""
    hints = Received()
    await parts.bus.subscribe(subjects.JOBS_READY, hints)
    for kind in (OutcomeKind.FAILED, OutcomeKind.RETURNED):
        await parts.outcome(await parts.lease(), kind, FAILURE)
        assert await hints.next() == (subjects.JOBS_READY, b"")


async def test_a_job_that_is_failed_is_announced_to_who_waits_for_it(parts: Parts) -> None:
    """On the subject of its workload."""
    hints = Received()
    await parts.bus.subscribe(subjects.settled(parts.workload_id), hints)
    lease = await parts.lease()
    for number in range(MAX_FAILURES):
        if number:
            lease = await parts.lease_again(lease.job_id)
        await parts.attempts.fail(lease, FAILURE)
    assert await hints.next() == (subjects.settled(parts.workload_id), b"")
    assert hints.waiting == 0


async def test_a_stale_attempt_is_not_announced(parts: Parts) -> None:
    """Nothing has changed, so nobody is woken."""
    hints = Received()
    await parts.bus.subscribe("dpip.v1.>", hints)
    lease = await parts.lease()
    await parts.attempts.give_back(lease)
    assert (await hints.next())[0] == subjects.JOBS_READY
    await parts.attempts.give_back(lease)
    await parts.attempts.fail(lease, FAILURE)
    await parts.lease_again(lease.job_id)
    await parts.attempts.give_back(lease)
    await parts.attempts.fail(lease, FAILURE)
    await parts.bus.publish("dpip.v1.fence", b"")
    assert (await hints.next())[0] == "dpip.v1.fence"


async def test_an_outcome_is_recorded_without_the_bus(parts: Parts) -> None:
    """The hints are lost, and nothing else."""
    lease = await parts.lease()
    await parts.bus.close()
    await parts.outcome(lease, OutcomeKind.FAILED, FAILURE)
    assert await parts.failures(lease.job_id) == 1


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_a_process_that_was_not_taken_in_ends_nothing(
    parts: Parts, kind: OutcomeKind
) -> None:
    """Whoever has a join token may connect under any name; the leases of the name are not its."""
    lease = await parts.lease()
    await parts.outcome(lease, kind, FAILURE, instance="impostor")
    assert await parts.datastore.leases() == [lease]
    assert (await parts.worker()).instance == "one"
