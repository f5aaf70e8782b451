"""Jobs find their workers, on a real bus and a real datastore."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from dpip.errors import StorageUnavailable
from dpip.model.cost import Cost
from dpip.model.ids import new_id
from dpip.model.job import Lease, PendingJob
from dpip.model.leadership import SCHEDULER
from dpip.model.placement import Placement
from dpip.model.worker import WorkerState
from dpip.model.workload import JobCounts, Workload
from dpip.ports.datastore import Jobs
from dpip.scheduler import caller as caller_module
from dpip.scheduler import scheduler as scheduler_module
from dpip.scheduler.caller import WorkerCaller
from dpip.scheduler.scheduler import Scheduler, SchedulerSettings
from dpip.wire import subjects
from dpip.wire.codec import encode
from dpip.wire.messages import Accepted, Outcome, OutcomeKind, Refusal, RunBatch
from tests.integration.controller.parts import TERM, Parts
from tests.integration.scheduler.workers import (
    Answer,
    ScriptedWorker,
    Workers,
    accept,
    refuse,
    say_nothing,
)
from tests.nats import PATIENCE, until

SETTINGS = SchedulerSettings(
    policy="least_loaded",
    batch_milliseconds=0,
    late_factor=4,
    backup_share=0.05,
    memory_limit=1 << 30,
    silence_seconds=TERM,
)


class Leads:
    """Who leads in the term that begins with it, and tells so without being asked again."""

    term: int | None = None

    async def begin(self, parts: Parts) -> None:
        former = await parts.datastore.leader(SCHEDULER)
        self.term = await parts.datastore.take_lead(SCHEDULER, "test", after_term=former.term)


def new_scheduler(
    parts: Parts,
    datastore: Any = None,
    leads: Leads | None = None,
    settings: SchedulerSettings = SETTINGS,
) -> Scheduler:
    caller = WorkerCaller(parts.bus, memory_limit=1 << 30, time_limit=12.5)
    return Scheduler(
        datastore or parts.datastore, parts.bus, parts.clock, caller, leads or Leads(), settings
    )


async def started(
    parts: Parts, datastore: Any = None, settings: SchedulerSettings = SETTINGS
) -> Scheduler:
    leads = Leads()
    await leads.begin(parts)
    scheduler = new_scheduler(parts, datastore, leads, settings)
    await scheduler.start()
    return scheduler


@asynccontextmanager
async def scheduling(
    parts: Parts, datastore: Any = None, settings: SchedulerSettings = SETTINGS
) -> AsyncIterator[Scheduler]:
    scheduler = await started(parts, datastore, settings)
    try:
        yield scheduler
    finally:
        await scheduler.stop()


@pytest.fixture
async def scheduler(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scheduler]:
    """One that has its messages to go by: it does not compare what it knows with the datastore."""
    monkeypatch.setattr(scheduler_module, "_ALIGN_SECONDS", 3600)
    async with scheduling(parts) as scheduler:
        yield scheduler


async def put_back(parts: Parts) -> None:
    """Wait until the one job has been leased and is pending again."""

    async def is_back() -> bool:
        workload = await parts.datastore.workload(parts.workload_id)
        assert workload is not None
        return workload.started and workload.counts == JobCounts(pending=1)

    await until(is_back, "the job to be put back")


async def settle(parts: Parts, lease: Lease) -> None:
    """Commit a result for ``lease``, as its upload does."""
    job = await parts.datastore.leased_job(lease)
    assert job is not None
    result = parts.image(job.original.id)
    await parts.datastore.complete(lease, result, milliseconds=1, now=parts.clock.now())


async def test_a_pending_job_goes_to_a_worker(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """With all that the worker needs to know, and it holds the lease."""
    job_id = await parts.add_job()
    worker = await workers()
    await worker.beat()
    run = await worker.next()
    assert (run.job_id, run.attempt, run.workload_id) == (job_id, 1, parts.workload_id)
    assert (run.pipeline, run.memory_limit, run.time_limit) == (b"[]", 1 << 30, 12.5)
    assert await parts.datastore.leases() == [worker.lease(run)]
    assert await parts.datastore.leased_image(run.image_id, "w")


async def test_a_job_goes_out_when_it_comes_in(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """A worker that waits gets it by the hint."""
    worker = await workers()
    await worker.beat()
    job_id = await parts.add_job()
    await parts.bus.publish(subjects.JOBS_READY, b"")
    assert (await worker.next()).job_id == job_id


async def test_a_hint_that_was_lost_is_made_up_for(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """The scheduler looks by itself."""
    worker = await workers(slots=2)
    await parts.add_job()
    await worker.beat()
    await worker.next()
    job_id = await parts.add_job()
    assert (await worker.next()).job_id == job_id


async def test_a_refusal_puts_the_job_back(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """It costs the job nothing, and the worker is asked again when it is heard again."""
    job_id = await parts.add_job()
    worker = await workers(answer=refuse)
    await worker.beat()
    await worker.next()
    await put_back(parts)
    assert await parts.failures(job_id) == 0
    worker.answer = accept
    await worker.beat()
    run = await worker.next()
    assert (run.job_id, run.attempt) == (job_id, 2)


async def test_a_worker_that_is_not_there_costs_a_job_nothing(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """The job goes to another."""
    job_id = await parts.add_job()
    await (await workers.absent()).beat()
    await put_back(parts)
    assert await parts.failures(job_id) == 0
    worker = await workers()
    await worker.beat()
    run = await worker.next()
    assert (run.job_id, run.attempt) == (job_id, 2)


async def test_a_worker_that_says_nothing_loses_the_job(
    parts: Parts, workers: Workers, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attempt is over, should it have begun, and no failure is counted."""
    monkeypatch.setattr(caller_module, "_ANSWER_SECONDS", 0.05)
    job_id = await parts.add_job()
    worker = await workers(answer=say_nothing)
    await worker.beat()
    await worker.next()
    await put_back(parts)
    assert await parts.failures(job_id) == 0


async def test_a_worker_that_hears_nothing_does_not_hold_the_others_up(
    parts: Parts, workers: Workers, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone, however often it beats, and called again when its pause is over."""
    monkeypatch.setattr(caller_module, "_ANSWER_SECONDS", 0.05)
    job_id = await parts.add_job()
    worker = await workers(answer=say_nothing, slots=4)
    await worker.beat()
    await worker.next()
    await put_back(parts)
    await worker.beat()
    other = await workers("other")
    await other.beat()
    run = await other.next()
    assert run.job_id == job_id
    assert worker.waiting == 0
    worker.answer = accept
    parts.clock.pass_by(1)
    await parts.add_job()
    await worker.beat()
    await worker.next()
    await parts.add_job()  # It has answered, so that it is trusted with more than one.
    await worker.next()


async def test_no_worker_is_leased_more_than_it_has_room_for(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """However many jobs wait, and however often it is looked."""
    for _ in range(8):
        await parts.add_job()
    full, late = await workers("full", slots=2, prefetch=1), await workers("late")
    await full.beat()
    held = [full.lease(await full.next()) for _ in range(3)]
    await full.beat()  # Before any of them shows in a heartbeat.
    await late.beat()
    held.append(late.lease(await late.next()))
    leases = await parts.datastore.leases()
    assert sorted(leases, key=lambda each: each.job_id) == held
    assert full.waiting == late.waiting == 0


async def test_jobs_go_out_in_the_order_in_which_they_came(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """The one that waits longest is next."""
    job_ids = [await parts.add_job() for _ in range(4)]
    worker = await workers()
    await worker.beat()
    for job_id in job_ids:
        run = await worker.next()
        assert run.job_id == job_id
        await settle(parts, worker.lease(run))
        await worker.ended(run)


@pytest.mark.parametrize("kind", [OutcomeKind.DONE, OutcomeKind.FAILED])
async def test_the_end_of_an_attempt_makes_room(
    parts: Parts, workers: Workers, scheduler: Scheduler, kind: OutcomeKind
) -> None:
    """However it ended, without another heartbeat."""
    first, second = await parts.add_job(), await parts.add_job()
    worker = await workers()
    await worker.beat()
    run = await worker.next()
    assert run.job_id == first
    await settle(parts, worker.lease(run))
    await worker.ended(run, kind)
    assert (await worker.next()).job_id == second


async def test_a_worker_that_gives_a_job_back_is_left_alone(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """Though it is idle and beats: its jobs go to others, until its pause is over."""
    job_id = await parts.add_job()
    broken = await workers("broken", slots=4)
    await broken.beat()
    run = await broken.next()
    await broken.ended(run, OutcomeKind.RETURNED)
    await parts.datastore.give_back(broken.lease(run))
    await broken.beat()
    other = await workers("other")
    await other.beat()
    assert (await other.next()).job_id == job_id
    assert broken.waiting == 0
    parts.clock.pass_by(1)
    await parts.add_job()
    await broken.beat()
    await broken.next()


async def test_a_job_is_given_back_until_the_datastore_has_it(
    parts: Parts, workers: Workers
) -> None:
    """A database that is away for a moment costs the job nothing."""
    errors = [StorageUnavailable(storage="datastore", reason="test") for _ in range(2)]

    class Failing(Wrapped):
        async def give_back(self, lease: Lease) -> bool:
            if errors:
                raise errors.pop()
            return await self._jobs.give_back(lease)

    job_id = await parts.add_job()
    worker = await workers(answer=refuse)
    async with scheduling(parts, Failing(parts.datastore)):
        await worker.beat()
        await worker.next()
        await put_back(parts)
    assert errors == []
    assert await parts.failures(job_id) == 0


async def test_jobs_that_fit_nowhere_are_spoken_of(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """Once a minute, with the reason of each worker."""
    with capture_logs() as logs:

        def said() -> list[str]:
            return [each["reason"] for each in logs if each["event"].startswith("jobs wait")]

        async def spoken(times: int) -> None:
            async def look() -> bool:
                return len(said()) == times

            await until(look, "the scheduler to say why jobs wait")

        await parts.add_job()
        worker = await workers()
        await worker.beat(memory_available=1)
        await spoken(1)
        await worker.beat(memory_available=1)
        parts.clock.pass_by(TERM)
        await worker.beat(memory_available=1)
        await scheduler.place()
        (reason,) = said()
        assert reason.startswith("w has 0 MiB of memory to promise, and the job is predicted to")
        parts.clock.pass_by(60)
        await worker.beat(memory_available=1)
        await spoken(2)


async def test_an_end_that_was_not_told_is_found_out(
    parts: Parts, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in hand is compared with the datastore now and then."""
    monkeypatch.setattr(scheduler_module, "_ALIGN_SECONDS", 0.02)
    await parts.add_job()
    second = await parts.add_job()
    worker = await workers()
    async with scheduling(parts):
        await worker.beat()
        await settle(parts, worker.lease(await worker.next()))
        assert (await worker.next()).job_id == second


@pytest.mark.parametrize(
    "error", [StorageUnavailable(storage="datastore", reason="test"), ZeroDivisionError()]
)
async def test_a_comparison_that_fails_is_not_the_last(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever went wrong, it is done again."""
    monkeypatch.setattr(scheduler_module, "_ALIGN_SECONDS", 0.02)
    errors = [error]
    compared = asyncio.Event()

    class Failing(Wrapped):
        async def leases(self) -> list[Lease]:
            if errors:
                raise errors.pop()
            compared.set()
            return await self._jobs.leases()

    async with scheduling(parts, Failing(parts.datastore)), asyncio.timeout(PATIENCE):
        await compared.wait()


async def one_other_is_asked(parts: Parts, workers: Workers, shunned: ScriptedWorker) -> None:
    """Add jobs for two; check that ``shunned`` gets none of them."""
    await parts.add_job()
    await parts.add_job()
    other = await workers("other")
    await other.beat()
    run = await other.next()
    assert await parts.datastore.leases() == [other.lease(run)]
    assert shunned.waiting == 0


async def test_a_draining_worker_gets_nothing(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """Also where it is idle and jobs wait."""
    worker = await workers(slots=4)
    await worker.beat()
    await worker.beat(draining=True)
    await one_other_is_asked(parts, workers, worker)


async def test_a_goodbye_of_an_earlier_process_is_not_its_successors(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """It may come late; the worker goes on getting jobs without another heartbeat."""
    worker = await workers(slots=2)
    await parts.add_job()
    await worker.beat()
    await worker.next()
    await worker.goodbye(instance="earlier")
    job_id = await parts.add_job()
    await parts.bus.publish(subjects.JOBS_READY, b"")
    assert (await worker.next()).job_id == job_id


async def test_a_worker_that_said_goodbye_gets_nothing(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """At once, before its silence would tell."""
    worker = await workers(slots=4)
    await worker.beat()
    await until_known(scheduler, "w")
    await worker.goodbye()
    await until_forgotten(scheduler, "w")
    await one_other_is_asked(parts, workers, worker)


async def until_known(scheduler: Scheduler, name: str) -> None:
    async def known() -> bool:
        return scheduler._fleet.node(name) is not None

    await until(known, "the worker to be known")


async def until_forgotten(scheduler: Scheduler, name: str) -> None:
    async def forgotten() -> bool:
        return scheduler._fleet.node(name) is None

    await until(forgotten, "the worker to be forgotten")


async def test_a_silent_worker_gets_nothing(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """By the clock that does not jump."""
    worker = await workers(slots=4)
    await parts.add_job()
    await worker.beat()
    await worker.next()
    parts.clock.pass_by(TERM + 1)
    await parts.datastore.give_back((await parts.datastore.leases())[0])
    other = await workers("other")
    await other.beat()
    await other.next()
    assert worker.waiting == 0


async def test_a_second_scheduler_does_not_overfill_a_worker(
    parts: Parts, workers: Workers
) -> None:
    """What a worker says it holds is held, for one who has just begun, too."""
    for _ in range(3):
        await parts.add_job()
    worker = await workers(slots=2)
    async with scheduling(parts):
        await worker.beat()
        held = [worker.lease(await worker.next()) for _ in range(2)]
    async with scheduling(parts):
        await worker.beat(*held)
        other = await workers("other")
        await other.beat()
        held.append(other.lease(await other.next()))
    leases = await parts.datastore.leases()
    assert sorted(leases, key=lambda each: each.job_id) == held
    assert worker.waiting == 0


async def test_noise_stops_nothing(parts: Parts, workers: Workers, scheduler: Scheduler) -> None:
    """On whichever subject, from whichever worker."""
    for subject in (subjects.heartbeat, subjects.outcome, subjects.goodbye):
        await parts.worker_bus.publish(subject("w", "i"), b"\xc1 noise")
    job_id = await parts.add_job()
    worker = await workers()
    await worker.beat()
    assert (await worker.next()).job_id == job_id


class Wrapped:
    """Jobs in the datastore, with something in between that a test puts there."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)


@pytest.mark.parametrize(
    "error", [StorageUnavailable(storage="datastore", reason="test"), ZeroDivisionError()]
)
async def test_a_round_that_fails_is_not_the_last(
    parts: Parts, workers: Workers, error: Exception
) -> None:
    """Whatever went wrong, it is tried again."""
    errors = [error]

    class Failing(Wrapped):
        async def pending_jobs(
            self, workload_id: str, *, now: float, limit: int
        ) -> list[PendingJob]:
            if errors:
                raise errors.pop()
            return await self._jobs.pending_jobs(workload_id, now=now, limit=limit)

    job_id = await parts.add_job()
    worker = await workers()
    async with scheduling(parts, Failing(parts.datastore)):
        await worker.beat()
        assert (await worker.next()).job_id == job_id
    assert errors == []


def answering_later(answer: Answer, release: asyncio.Event) -> Answer:
    async def later(batch: RunBatch) -> Accepted | Refusal | None:
        await release.wait()
        return await answer(batch)

    return later


@pytest.mark.parametrize(
    ("answer", "counts"), [(accept, JobCounts(leased=1)), (refuse, JobCounts(pending=1))]
)
async def test_a_stop_sees_calls_to_their_end(
    parts: Parts, workers: Workers, answer: Answer, counts: JobCounts
) -> None:
    """Who accepted has the job, and what was refused is pending when the stop is over."""
    release = asyncio.Event()
    await parts.add_job()
    worker = await workers(answer=answering_later(answer, release))
    scheduler = await started(parts)
    await worker.beat()
    await worker.next()
    stopping = asyncio.create_task(scheduler.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    release.set()
    await stopping
    assert await parts.counts() == counts


async def test_a_lease_taken_while_it_stops_reaches_its_worker(
    parts: Parts, workers: Workers
) -> None:
    """No job waits for a lease to lapse because its scheduler was stopped in good order."""
    leasing, release = asyncio.Event(), asyncio.Event()

    class Slow(Wrapped):
        async def lease(self, placements: Sequence[Placement], *, term: int) -> list[Lease]:
            leases = await self._jobs.lease(placements, term=term)
            leasing.set()
            await release.wait()
            return leases

    job_id = await parts.add_job()
    worker = await workers()
    scheduler = await started(parts, Slow(parts.datastore))
    await worker.beat()
    await leasing.wait()
    stopping = asyncio.create_task(scheduler.stop())
    await asyncio.sleep(0)
    release.set()
    await stopping
    assert worker.waiting == 1
    assert (await worker.next()).job_id == job_id


async def test_a_stopped_scheduler_places_nothing(parts: Parts, workers: Workers) -> None:
    """Whatever it still hears."""
    scheduler = await started(parts)
    await scheduler.stop()
    await parts.add_job()
    worker = await workers()
    await worker.beat()
    async with scheduling(parts):  # The hearing of both is over when this one has placed.
        await worker.beat()
        await worker.next()
    assert worker.waiting == 0
    assert len(await parts.datastore.leases()) == 1


async def test_a_scheduler_that_was_never_started_can_be_stopped(parts: Parts) -> None:
    """There is nothing to see to its end."""
    await new_scheduler(parts).stop()


async def test_a_quarantined_worker_gets_no_job(parts: Parts, workers: Workers) -> None:
    """Though it has more room than any; once it is released it gets the next."""
    liar, honest = await workers("liar", slots=8), await workers("honest")
    await parts.hello("liar", "i")
    await parts.quarantine("liar")
    async with scheduling(parts):
        for worker in (liar, honest):
            await worker.beat()
        job_id = await parts.add_job()
        await parts.bus.publish(subjects.JOBS_READY, b"")
        assert (await honest.next()).job_id == job_id
        assert liar.waiting == 0
        await parts.datastore.release_worker("liar", parts.clock.now())
        await parts.hello("liar", "i")
        await liar.beat()
        job_id = await parts.add_job()
        assert (await liar.next()).job_id == job_id


async def test_a_process_that_was_not_taken_in_gets_nothing(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """Whatever it says under whatever name: whom the controller has taken in is called."""
    worker = await workers()
    stranger = ScriptedWorker(parts.worker_bus, "stranger", accept, 4, 0)
    impostor = ScriptedWorker(parts.worker_bus, "w", accept, 4, 0, instance="impostor")
    for rogue in (stranger, impostor):
        await rogue.listen()
        await rogue.beat()
    job_id = await parts.add_job()
    await worker.beat()
    await impostor.beat()
    assert (await worker.next()).job_id == job_id
    assert stranger.waiting == impostor.waiting == 0


async def test_a_process_whose_name_is_anothers_is_forgotten(
    parts: Parts, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was frozen and goes on beating; it gets nothing, before its successor has beaten too."""
    monkeypatch.setattr(scheduler_module, "_ALIGN_SECONDS", 0.02)
    worker = await workers()
    async with scheduling(parts) as scheduler:
        await worker.beat()
        await until_known(scheduler, "w")
        await parts.datastore.end_worker("w", WorkerState.LOST, parts.clock.now())
        await parts.hello("w", "second")
        await until_forgotten(scheduler, "w")
        second = ScriptedWorker(parts.worker_bus, "w", accept, 1, 0, instance="second")
        await second.listen()
        await parts.add_job()
        await worker.beat()
        await second.beat()
        await worker.beat()
        await second.next()
        assert worker.waiting == 0


async def test_costs_are_learned_from_results_that_are_in(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """Not from who only says that a job is done; that one is left alone."""
    cost = Cost(milliseconds=5, cpu_milliseconds=5, memory=1 << 27)
    liar, honest = await workers("liar"), await workers("honest")
    for worker in (liar, honest):  # The first one is left alone afterwards.
        await parts.add_job()
        await worker.beat()
        run = await worker.next()
        if worker is honest:
            await settle(parts, worker.lease(run))
        await worker.ended(run, cost=cost)
        await until_it_is_free(scheduler, worker.name)
        await scheduler.align()
        learned = scheduler._matchmaker.costs.changed()
        assert bool(learned) is (worker is honest)
    nodes = {node.name: node.left_alone_until > 0 for node in scheduler._fleet}
    assert nodes == {"honest": False, "liar": True}


async def until_it_is_free(scheduler: Scheduler, name: str) -> None:
    async def free() -> bool:
        node = scheduler._fleet.node(name)
        return node is not None and not node.in_hand

    await until(free, "the worker to have nothing in hand")


async def test_a_worker_that_made_room_is_left_alone_for_a_moment(
    parts: Parts, workers: Workers, scheduler: Scheduler
) -> None:
    """Or it could be given the same job again and again."""
    await parts.add_job()
    worker = await workers()
    await worker.beat()
    run = await worker.next()
    message = Outcome(
        job_id=run.job_id, attempt=run.attempt, kind=OutcomeKind.RETURNED, untouched=True
    )
    await parts.worker_bus.publish(subjects.outcome("w", "i"), encode(message))
    await until_it_is_free(scheduler, "w")
    await parts.datastore.give_back(worker.lease(run))
    assert await scheduler.place() == 0
    parts.clock.pass_by(1)
    await worker.beat()
    assert (await worker.next()).job_id == run.job_id


async def test_a_leased_job_that_nothing_can_be_predicted_of_holds_nobody_up(
    parts: Parts, workers: Workers
) -> None:
    """Its pipeline may be of a later version; who takes over goes on with the others."""
    workload = Workload(
        id=new_id(), name="later", owner_id="owner", pipeline=b"?", created_at=parts.clock.now()
    )
    await parts.datastore.add_workload(workload)
    image = structs.replace(parts.image(), workload_id=workload.id)
    strange = new_id()
    await parts.datastore.add_original(image, strange)
    worker = await workers(slots=2)
    held = await parts.lease_again(strange, "w")
    job_id = await parts.add_job()
    async with scheduling(parts):
        await worker.beat(held)
        assert (await worker.next()).job_id == job_id
