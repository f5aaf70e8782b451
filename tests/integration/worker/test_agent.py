"""A worker's agent on a real bus, opposite a controller and scheduler that follow a script."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from dpip.errors import JoinRefused, NoAnswerInTime, NoResponder
from dpip.model.image import PictureFormat
from dpip.model.job import Failure, FailureCode
from dpip.model.worker import Command, Resources, most_in_hand
from dpip.model.working_hours import WorkingHours
from dpip.wire import subjects
from dpip.wire.codec import decode, decode_either, encode
from dpip.wire.messages import (
    MOST_RUNS,
    PROTOCOL,
    Accepted,
    Acknowledged,
    Goodbye,
    Heartbeat,
    Hello,
    Outcome,
    OutcomeKind,
    Refusal,
    Run,
    RunBatch,
    Running,
    Told,
    Welcome,
)
from dpip.wire.nats_bus import NatsBus
from dpip.wire.subjects import Speaker
from dpip.worker import outcome_reporter as reporter_module
from dpip.worker.agent import Agent, AgentSettings
from dpip.worker.identity import Identity
from dpip.worker.image_client import ImageClient
from dpip.worker.politeness import PoliteSettings
from dpip.worker.workshop import Workshop
from tests.nats import (
    JOIN_SECRET,
    PATIENCE,
    Received,
    message_server,
    part_of,
    until,
    worker_of,
)

WELCOME = encode(
    Welcome(image_store_endpoint="http://0.0.0.0:80", image_store_token="t", heartbeat_seconds=0.01)
)
NOT_NOW = encode(Refusal(reason="Not now."))
SETTINGS = AgentSettings(
    tags=("fast",),
    slots=1,
    prefetch=1,
    drain_seconds=PATIENCE,
    controller_host="127.0.0.1",
)
FAILED = Failure(code=FailureCode.CRASHED, reason="It crashed.")


def identity() -> Identity:
    """The one that ``worker_of`` connects as."""
    made = Identity("w", lambda: JOIN_SECRET)
    made.speaker = Speaker("w", "i")
    return made


class ScriptedWorkshop(Workshop):
    """Has a job in work until a test says how it ended."""

    def __init__(self) -> None:
        super().__init__(0, 0, Path())
        self.begun: asyncio.Queue[Run] = asyncio.Queue()
        self._ends: dict[str, asyncio.Future[Outcome]] = defaultdict(
            asyncio.get_running_loop().create_future
        )

    async def work_on(self, run: Run, images: ImageClient) -> Outcome:
        if run.job_id.startswith("waiting"):  # For a slot, and for ever.
            await asyncio.Event().wait()
        self._begun.add(run)
        self.begun.put_nowait(run)
        return await self._ends[run.job_id]

    async def next(self) -> Run:
        async with asyncio.timeout(PATIENCE):
            return await self.begun.get()

    def end(self, run: Run, kind: OutcomeKind, failure: Failure | None = None) -> None:
        self._ends[run.job_id].set_result(
            Outcome(job_id=run.job_id, attempt=run.attempt, kind=kind, failure=failure)
        )


class Headquarters:
    """The controller and the scheduler, as far as a worker sees of them."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.answers = [WELCOME]
        """To hellos; the last one stays."""
        self.hellos: asyncio.Queue[tuple[Speaker, Hello]] = asyncio.Queue()
        self.heartbeats = Received()
        self.outcomes = Received(answer=encode(Acknowledged()))
        self.goodbyes = Received()

    async def open(self) -> None:
        await self.bus.subscribe(subjects.HEARTBEATS, self.heartbeats)
        await self.bus.subscribe(subjects.OUTCOMES, self.outcomes)
        await self.bus.subscribe(subjects.GOODBYES, self.goodbyes)
        await self.bus.subscribe(subjects.HELLOS, self._on_hello)

    async def hello(self) -> tuple[Speaker, Hello]:
        async with asyncio.timeout(PATIENCE):
            return await self.hellos.get()

    async def heartbeat(self, *, draining: bool = False) -> Heartbeat:
        """The next heartbeat of a worker that is draining, or not."""
        while (beat := await self.any_heartbeat()).draining != draining:
            pass
        return beat

    async def any_heartbeat(self) -> Heartbeat:
        """The next heartbeat."""
        subject, payload = await self.heartbeats.next()
        assert subject == subjects.heartbeat("w", "i")
        return decode(payload, Heartbeat, subject)

    async def outcome(self) -> Outcome:
        subject, payload = await self.outcomes.next()
        assert subject == subjects.outcome("w", "i")
        return decode(payload, Outcome, subject)

    async def call(self, agent: Agent, *runs: Run) -> Accepted | Refusal:
        subject = subjects.run(*agent._speaker)
        answer = await self.bus.request(subject, encode(RunBatch(runs=runs)), PATIENCE)
        return decode_either(answer, Accepted, Refusal, subject)

    async def _on_hello(self, subject: str, payload: bytes) -> bytes:
        assert subjects.join_token_in(subject) == JOIN_SECRET.id
        self.hellos.put_nowait((subjects.speaker_in(subject), decode(payload, Hello, subject)))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def accepted(*runs: Run) -> Accepted:
    return Accepted(attempts=tuple(Running(job_id=r.job_id, attempt=r.attempt) for r in runs))


def run(job_id: str = "job", attempt: int = 1, *, express: bool = False) -> Run:
    return Run(
        job_id=job_id,
        attempt=attempt,
        workload_id="wl",
        workload_name="holidays",
        image_id="im",
        format=PictureFormat.PNG,
        sha256="00",
        pipeline=b"[]",
        memory_limit=1,
        time_limit=1,
        express=express,
    )


@pytest.fixture
async def workshop() -> ScriptedWorkshop:
    return ScriptedWorkshop()


@pytest.fixture
async def buses(tmp_path: Path) -> AsyncIterator[tuple[NatsBus, NatsBus]]:
    """One for headquarters, one for the worker."""
    async with (
        message_server(tmp_path) as server,
        part_of(server) as part,
        worker_of(server) as worker,
    ):
        yield part, worker


@pytest.fixture
async def headquarters(buses: tuple[NatsBus, NatsBus]) -> Headquarters:
    headquarters = Headquarters(buses[0])
    await headquarters.open()
    return headquarters


@pytest.fixture
async def agent(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, headquarters: Headquarters
) -> AsyncIterator[Agent]:
    """One that has joined."""
    async with joined(Agent(buses[1], workshop, identity(), SETTINGS)) as agent:
        yield agent


@asynccontextmanager
async def joined(agent: Agent) -> AsyncIterator[Agent]:
    try:
        await agent.start()
        yield agent
    finally:
        await agent.stop()


# Joining


async def test_a_worker_introduces_itself(agent: Agent, headquarters: Headquarters) -> None:
    """With its version, what it is called and what it takes on."""
    speaker, hello = await headquarters.hello()
    assert speaker == ("w", "i")
    assert (hello.protocol, hello.tags) == (PROTOCOL, ("fast",))
    assert (hello.slots, hello.prefetch) == (1, 1)
    assert hello.resources.cores >= 1
    assert 0 < hello.resources.memory_available <= hello.resources.memory_total


async def test_a_worker_beats_once_it_has_joined(agent: Agent, headquarters: Headquarters) -> None:
    """Again and again, as the process that said hello."""
    for _ in range(3):
        beat = await headquarters.heartbeat()
        assert (beat.running, beat.tags) == ((), ("fast",))


async def test_a_final_no_is_final(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, headquarters: Headquarters
) -> None:
    """The worker says why it was refused, and asks no more."""
    headquarters.answers = [encode(Refusal(reason="Wrong version.", final=True))]
    agent = Agent(buses[1], workshop, identity(), SETTINGS)
    with pytest.raises(JoinRefused, match=r"'w': Wrong version\."):
        await agent.start()
    await agent.stop()
    assert headquarters.hellos.qsize() == 1


@pytest.mark.parametrize("answer", [NOT_NOW, b"", b"\xc1 noise", encode(Acknowledged())])
async def test_a_worker_that_was_not_let_in_asks_again(
    buses: tuple[NatsBus, NatsBus],
    workshop: ScriptedWorkshop,
    headquarters: Headquarters,
    answer: bytes,
) -> None:
    """After a refusal that is not final, and after what is no answer."""
    headquarters.answers = [answer, WELCOME]
    async with joined(Agent(buses[1], workshop, identity(), SETTINGS)):
        assert (await headquarters.hello())[0] == (await headquarters.hello())[0]
        await headquarters.heartbeat()


async def test_a_worker_waits_for_a_controller(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may start first."""
    part, worker = buses
    unheard = asyncio.Event()
    request = worker.request

    async def watched(subject: str, payload: bytes, timeout: float) -> bytes:
        try:
            return await request(subject, payload, timeout)
        except NoResponder:
            unheard.set()
            raise

    monkeypatch.setattr(worker, "request", watched)
    agent = Agent(worker, workshop, identity(), SETTINGS)
    starting = asyncio.create_task(agent.start())
    await unheard.wait()
    headquarters = Headquarters(part)
    await headquarters.open()
    await starting
    await headquarters.heartbeat()
    await agent.stop()


async def test_a_worker_that_is_asked_to_joins_again(
    agent: Agent, headquarters: Headquarters
) -> None:
    """As the same process."""
    first, _ = await headquarters.hello()
    await headquarters.bus.publish(subjects.rejoin(*first), b"")
    assert (await headquarters.hello())[0] == first


async def test_a_worker_that_is_to_join_anew_is_not_there_yet(
    agent: Agent, headquarters: Headquarters
) -> None:
    """Its name may be another's: until it is taken in again it does not beat and takes no job."""
    speaker, _ = await headquarters.hello()
    await headquarters.heartbeat()
    headquarters.answers = [NOT_NOW]
    await headquarters.bus.publish(subjects.rejoin(*speaker), b"")
    await headquarters.hello()  # Refused by the time at which it says the next.
    await headquarters.hello()
    assert isinstance(await headquarters.call(agent, run()), Refusal)
    while headquarters.heartbeats.waiting:
        await headquarters.heartbeat()
    for _ in range(2):
        await headquarters.hello()
    assert headquarters.heartbeats.waiting == 0
    headquarters.answers = [WELCOME]
    await headquarters.heartbeat()
    assert isinstance(await headquarters.call(agent, run()), Accepted)


@pytest.mark.parametrize("error", [OSError("Too many open files"), ZeroDivisionError()])
async def test_a_heart_goes_on_beating(
    agent: Agent, headquarters: Headquarters, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever came in between."""
    await headquarters.heartbeat()
    errors = [error]
    read = agent._probe.read

    def fail_once() -> Resources:
        if errors:
            raise errors.pop()
        return read()

    monkeypatch.setattr(agent._probe, "read", fail_once)
    while errors:
        await headquarters.heartbeat()
    for _ in range(10):
        await headquarters.heartbeat()


async def test_a_worker_that_may_not_join_again_ends(
    agent: Agent, headquarters: Headquarters
) -> None:
    """It says why, and does not live on without being taken in."""
    speaker, _ = await headquarters.hello()
    headquarters.answers = [encode(Refusal(reason="Quarantined.", final=True))]
    for _ in range(2):
        await headquarters.bus.publish(subjects.rejoin(*speaker), b"")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(JoinRefused, match=r"'w': Quarantined\."):
            await agent.until_over()


async def test_a_worker_answers_to_its_name(agent: Agent, headquarters: Headquarters) -> None:
    """For as long as it is connected."""
    speaker, _ = await headquarters.hello()
    assert await headquarters.bus.request(subjects.ping(*speaker), b"", PATIENCE) == b""


async def test_another_process_of_the_name_is_not_there(
    agent: Agent, headquarters: Headquarters
) -> None:
    """Calls and pings are for one process."""
    for subject in (subjects.ping("w", "former"), subjects.run("w", "former")):
        with pytest.raises(NoResponder):
            await headquarters.bus.request(subject, b"", PATIENCE)


# Working


async def test_a_call_is_accepted_and_worked_on(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """It is in the heartbeats until its outcome is told."""
    call = run()
    assert await headquarters.call(agent, call) == accepted(call)
    assert await workshop.next() == call
    while not (beat := await headquarters.heartbeat()).running:
        pass
    assert beat.running == (Running(job_id="job", attempt=1),)
    workshop.end(call, OutcomeKind.DONE)
    outcome = await headquarters.outcome()
    assert (outcome.job_id, outcome.attempt, outcome.kind) == ("job", 1, OutcomeKind.DONE)
    while (await headquarters.heartbeat()).running:
        pass


async def test_a_call_that_comes_twice_is_worked_on_once(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """Both are accepted: the first answer may have been lost."""
    for _ in range(3):
        assert await headquarters.call(agent, run()) == accepted(run())
    both = run(), run("other")
    assert await headquarters.call(agent, *both) == accepted(*both)
    assert [(await workshop.next()).job_id for _ in range(2)] == ["job", "other"]
    assert workshop.begun.empty()


async def test_another_attempt_of_a_job_is_another_call(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """The former may be given up already, and the worker not know it."""
    for attempt in (1, 2):
        call = run(attempt=attempt)
        assert await headquarters.call(agent, call) == accepted(call)
        assert (await workshop.next()).attempt == attempt


async def test_a_batch_is_taken_in_its_order(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """All of it with one answer."""
    batch = [run(f"job-{number}") for number in range(MOST_RUNS)]
    assert await headquarters.call(agent, *batch) == accepted(*batch)
    assert [await workshop.next() for _ in batch] == batch


async def test_a_full_worker_refuses(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """It takes what it has room for, and more when something has ended."""
    first = run("first")
    await headquarters.call(agent, first)
    batch = [run(f"job-{number}") for number in range(MOST_RUNS + 1)]
    taken = most_in_hand(SETTINGS.slots, SETTINGS.prefetch) - 1
    await headquarters.call(agent, *batch[: taken - 1])
    last = batch[taken - 1 : taken + 1]
    assert await headquarters.call(agent, *last) == accepted(last[0])
    assert await headquarters.call(agent, last[1]) == Refusal(
        reason="The worker has its hands full."
    )
    workshop.end(first, OutcomeKind.DONE)

    async def has_room() -> bool:
        return await headquarters.call(agent, last[1]) == accepted(last[1])

    await until(has_room, "the room of the first job")


async def test_a_full_worker_takes_one_express_job(
    agent: Agent, headquarters: Headquarters
) -> None:
    """Wherever in a batch it is; not a second one."""
    most = most_in_hand(SETTINGS.slots, SETTINGS.prefetch)
    jobs = [run(f"job-{number}") for number in range(most)]
    await headquarters.call(agent, *jobs[:MOST_RUNS])
    await headquarters.call(agent, *jobs[MOST_RUNS:])
    one, other = run("one", express=True), run("other", express=True)
    assert await headquarters.call(agent, run("more"), one, other) == accepted(one)
    assert isinstance(await headquarters.call(agent, other), Refusal)


async def test_a_worker_that_has_not_joined_refuses(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, headquarters: Headquarters
) -> None:
    """It would not know where the images are."""
    headquarters.answers = [NOT_NOW]
    agent = Agent(buses[1], workshop, identity(), SETTINGS)
    starting = asyncio.create_task(agent.start())
    await headquarters.hello()
    answer = await headquarters.call(agent, run())
    assert answer == Refusal(reason="The worker has not joined yet.")
    headquarters.answers = [WELCOME]
    await starting
    assert await headquarters.call(agent, run()) == accepted(run())
    await agent.stop()


@pytest.mark.parametrize("kind", [OutcomeKind.FAILED, OutcomeKind.RETURNED])
async def test_an_outcome_is_told_until_it_is_acknowledged(
    agent: Agent,
    headquarters: Headquarters,
    workshop: ScriptedWorkshop,
    monkeypatch: pytest.MonkeyPatch,
    kind: OutcomeKind,
) -> None:
    """A failure has to be written down before it is forgotten."""
    monkeypatch.setattr(reporter_module, "_ANSWER_SECONDS", 0.05)
    acknowledgement, headquarters.outcomes.answer = headquarters.outcomes.answer, None
    call = run()
    await headquarters.call(agent, call)
    workshop.end(call, kind, FAILED)
    first = await headquarters.outcome()
    headquarters.outcomes.answer = acknowledgement
    assert await headquarters.outcome() == first
    assert (first.kind, first.failure) == (kind, FAILED)
    while (await headquarters.heartbeat()).running:
        pass
    assert headquarters.outcomes.waiting == 0


async def test_noise_is_no_call(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """It is not answered, and the next call is."""
    subject = subjects.run(*agent._speaker)
    with pytest.raises(NoAnswerInTime):
        await headquarters.bus.request(subject, b"\xc1 noise", 0.05)
    assert await headquarters.call(agent, run()) == accepted(run())


# Pausing, and what an administrator says


async def tell(headquarters: Headquarters, command: Command | None) -> Heartbeat:
    """Tell the worker; the first heartbeat that shows it."""
    told = encode(Told(command=command))
    await headquarters.bus.publish(subjects.command("w", "i"), told)
    while (beat := await headquarters.any_heartbeat()).command is not command:
        pass
    return beat


async def test_a_worker_pauses_until_it_is_to_resume(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """It says so and takes no job; what it has begun it goes on with, the rest it gives back."""
    begun, waiting = run(), run("waiting")
    await headquarters.call(agent, begun, waiting)
    await workshop.next()
    beat = await tell(headquarters, Command.PAUSE)
    assert (beat.paused, beat.draining) == ("is paused by an administrator", False)
    returned = await headquarters.outcome()
    assert (returned.job_id, returned.kind) == ("waiting", OutcomeKind.RETURNED)
    refused = await headquarters.call(agent, run("other"))
    assert refused == Refusal(reason="The worker is paused by an administrator.")
    workshop.end(begun, OutcomeKind.DONE)
    assert (await headquarters.outcome()).job_id == "job"
    assert (await tell(headquarters, None)).paused is None
    assert await headquarters.call(agent, run("other")) == accepted(run("other"))


async def test_what_was_told_before_stands_for_the_next_process(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, headquarters: Headquarters
) -> None:
    """It pauses from its first heartbeat on."""
    told_before = msgspec.structs.replace(decode(WELCOME, Welcome, ""), command=Command.PAUSE)
    headquarters.answers = [encode(told_before)]
    async with joined(Agent(buses[1], workshop, identity(), SETTINGS)):
        beat = await headquarters.any_heartbeat()
        assert (beat.command, beat.paused) == (Command.PAUSE, "is paused by an administrator")


async def test_a_worker_that_is_to_drain_is_over(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """For good: nothing that is said later calls it back."""
    assert (await tell(headquarters, Command.DRAIN)).draining
    async with asyncio.timeout(PATIENCE):
        await agent.until_over()
    assert await headquarters.call(agent, run()) == Refusal(reason="The worker is draining.")
    told = encode(Told(command=None))
    await headquarters.bus.publish(subjects.command("w", "i"), told)
    await agent.drain()
    beat = await headquarters.any_heartbeat()
    assert (beat.draining, beat.command) == (True, Command.DRAIN)


async def test_a_polite_worker_pauses_for_others(
    buses: tuple[NatsBus, NatsBus],
    workshop: ScriptedWorkshop,
    headquarters: Headquarters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gives back what has not begun, and works again when they have gone."""
    polite = msgspec.structs.replace(SETTINGS, politeness=PoliteSettings(load_above=0.5))
    others = 0.0
    async with joined(Agent(buses[1], workshop, identity(), polite)) as agent:
        read = agent._probe.read
        monkeypatch.setattr(
            agent._probe, "read", lambda: msgspec.structs.replace(read(), cpu_others=others)
        )
        while (await headquarters.any_heartbeat()).paused:  # By what runs beside this test.
            pass
        await headquarters.call(agent, run("waiting"))
        others = 0.83
        assert (await headquarters.outcome()).kind is OutcomeKind.RETURNED
        reason = "is paused: the load of other programs is 0.83, above 0.5"
        while (await headquarters.any_heartbeat()).paused != reason:
            pass
        assert isinstance(await headquarters.call(agent, run()), Refusal)
        others = 0.1
        while (await headquarters.any_heartbeat()).paused:
            pass
        assert await headquarters.call(agent, run()) == accepted(run())


async def test_a_worker_goes_by_the_clock_on_the_wall(
    buses: tuple[NatsBus, NatsBus],
    workshop: ScriptedWorkshop,
    headquarters: Headquarters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of the time zone of its machine: here one where it is noon, and one where it is not."""
    hours = PoliteSettings(hours=WorkingHours.parse("06:00-18:00"))
    polite = msgspec.structs.replace(SETTINGS, politeness=hours)
    ahead = (12 - time.gmtime().tm_hour + 24) % 24
    async with joined(Agent(buses[1], workshop, identity(), polite)):
        for shift, pauses in [(ahead, False), ((ahead + 12) % 24, True)]:
            # A zone of POSIX counts to the west.
            monkeypatch.setenv("TZ", f"XXX{-shift if shift <= 14 else 24 - shift}")
            time.tzset()
            while ((await headquarters.any_heartbeat()).paused is not None) != pauses:
                pass
    monkeypatch.undo()
    time.tzset()


# Leaving


async def test_a_draining_worker_refuses_and_says_so(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """What it has in hand it finishes first."""
    call = run()
    await headquarters.call(agent, call)
    await workshop.next()
    draining = asyncio.create_task(agent.drain())
    beat = await headquarters.heartbeat(draining=True)
    assert beat.running == (Running(job_id="job", attempt=1),)
    assert await headquarters.call(agent, run("other")) == Refusal(reason="The worker is draining.")
    # It is in hand already.
    assert await headquarters.call(agent, run("other"), call) == accepted(call)
    assert not draining.done()
    workshop.end(call, OutcomeKind.DONE)
    await draining
    assert (await headquarters.outcome()).kind is OutcomeKind.DONE


async def test_a_draining_worker_gives_back_what_has_not_begun(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """At once: others take it while what has begun is finished."""
    call = run()
    waiting = [run(f"waiting-{number}") for number in range(MOST_RUNS - 1)]
    await headquarters.call(agent, call, *waiting)
    await workshop.next()
    draining = asyncio.create_task(agent.drain())
    told = [await headquarters.outcome() for _ in waiting]
    assert {outcome.kind for outcome in told} == {OutcomeKind.RETURNED}
    assert {outcome.job_id for outcome in told} == {each.job_id for each in waiting}
    assert not draining.done()
    workshop.end(call, OutcomeKind.DONE)
    await draining
    assert (await headquarters.outcome()).job_id == "job"


async def test_what_was_given_back_is_told_by_a_worker_that_has_no_time_to_drain(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, headquarters: Headquarters
) -> None:
    """Stopping does not break off the telling, of which a few at a time are not answered yet."""
    settings = msgspec.structs.replace(SETTINGS, drain_seconds=0)
    waiting = [run(f"waiting-{number}") for number in range(MOST_RUNS)]
    in_flight = most = 0
    request = buses[1].request

    async def counted(subject: str, payload: bytes, timeout: float) -> bytes:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        try:
            return await request(subject, payload, timeout)
        finally:
            in_flight -= 1

    async with joined(Agent(buses[1], workshop, identity(), settings)) as agent:
        buses[1].request = counted  # type: ignore[method-assign]
        await headquarters.call(agent, *waiting)
        await agent.drain()
    told = {(await headquarters.outcome()).job_id for _ in waiting}
    assert told == {each.job_id for each in waiting}
    assert 1 < most <= reporter_module._MOST_AT_ONCE
    await headquarters.goodbyes.next()


async def test_what_is_not_done_in_time_is_given_back(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, headquarters: Headquarters
) -> None:
    """Draining has an end, and a worker leaves with empty hands."""
    settings = msgspec.structs.replace(SETTINGS, drain_seconds=0.01)
    async with joined(Agent(buses[1], workshop, identity(), settings)) as agent:
        await headquarters.call(agent, run())
        await workshop.next()
        await agent.drain()
        assert headquarters.outcomes.waiting == 0
    outcome = await headquarters.outcome()
    assert (outcome.job_id, outcome.kind) == ("job", OutcomeKind.RETURNED)


async def test_a_worker_that_stops_returns_its_jobs_and_says_goodbye(
    agent: Agent, headquarters: Headquarters, workshop: ScriptedWorkshop
) -> None:
    """What it held is known to be free before it goes."""
    for name in ("first", "second"):
        await headquarters.call(agent, run(name))
        await workshop.next()
    await agent.stop()
    assert headquarters.outcomes.waiting == 2  # Acknowledged, so they were received.
    told = [await headquarters.outcome() for _ in range(2)]
    assert {outcome.job_id for outcome in told} == {"first", "second"}
    assert {outcome.kind for outcome in told} == {OutcomeKind.RETURNED}
    subject, payload = await headquarters.goodbyes.next()
    assert subject == subjects.goodbye("w", "i")
    decode(payload, Goodbye, subject)


async def test_what_was_given_back_is_told_when_there_is_somebody_to_hear(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that leaves while no controller is there stays until one is back."""
    part, worker = buses
    away = Headquarters(part)
    await away.bus.subscribe(subjects.HELLOS, away._on_hello)
    agent = Agent(worker, workshop, identity(), SETTINGS)
    await agent.start()
    await away.call(agent, run())
    await workshop.next()
    unheard = asyncio.Event()
    request = worker.request

    async def watched(subject: str, payload: bytes, timeout: float) -> bytes:
        try:
            return await request(subject, payload, timeout)
        except NoResponder:
            unheard.set()
            raise

    monkeypatch.setattr(worker, "request", watched)
    stopping = asyncio.create_task(agent.stop())
    await unheard.wait()
    assert not stopping.done()
    headquarters = Headquarters(part)
    await headquarters.open()
    outcome = await headquarters.outcome()
    assert (outcome.job_id, outcome.kind) == ("job", OutcomeKind.RETURNED)
    await headquarters.goodbyes.next()
    await stopping


async def test_a_worker_stops_without_the_message_server(
    buses: tuple[NatsBus, NatsBus], workshop: ScriptedWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its patience has an end; then what it held lapses."""
    monkeypatch.setattr(reporter_module, "_PATIENCE_SECONDS", 0.05)
    part, worker = buses
    headquarters = Headquarters(part)
    await headquarters.open()
    agent = Agent(worker, workshop, identity(), SETTINGS)
    await agent.start()
    await headquarters.call(agent, run())
    await workshop.next()
    await worker.close()
    await agent.stop()
    assert agent._in_hand == {}
    assert headquarters.outcomes.waiting == headquarters.goodbyes.waiting == 0


async def test_the_end_of_a_job_that_is_done_waits_for_nobody(
    buses: tuple[NatsBus, NatsBus],
    workshop: ScriptedWorkshop,
    headquarters: Headquarters,
) -> None:
    """Its result is committed; room is made at once, with the message server away, too."""
    async with joined(Agent(buses[1], workshop, identity(), SETTINGS)) as agent:
        call = run()
        await headquarters.call(agent, call)
        await workshop.next()
        await buses[1].close()
        (task,) = agent._in_hand.values()
        workshop.end(call, OutcomeKind.DONE)
        await task
        assert agent._in_hand == {}
