"""The agent of a worker: it joins, takes calls, and tells how they ended."""

import asyncio
import contextlib
import datetime
import os
import random
import ssl
from pathlib import Path

import structlog
from msgspec import Struct

from dpip.chores import end, try_to
from dpip.errors import BusUnavailable, DpipError, JoinRefused
from dpip.model.job import Failure, FailureCode
from dpip.model.worker import Command, Resources, most_in_hand
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import decode, decode_either, encode
from dpip.wire.messages import (
    PROTOCOL,
    Accepted,
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
from dpip.worker.identity import Identity
from dpip.worker.image_client import ImageClient, reachable_endpoint
from dpip.worker.outcome_reporter import OutcomeReporter
from dpip.worker.own_processes import OwnProcesses
from dpip.worker.politeness import Politeness, PoliteSettings
from dpip.worker.probes import ResourceProbe
from dpip.worker.workshop import Workshop

log = structlog.get_logger()

_ANSWER_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 5.0


class AgentSettings(Struct, frozen=True, kw_only=True):
    """What a worker takes on.

    ``controller_host`` is where it reached the bus, ``tls`` says whom it trusts. A ``local`` one
    was started by ``dpip up``: the load of the whole system is its own. ``images`` is where it may
    find the image store on its own file system.
    """

    tags: tuple[str, ...]
    slots: int
    prefetch: int
    drain_seconds: float
    controller_host: str
    tls: ssl.SSLContext | None = None
    politeness: PoliteSettings = PoliteSettings()
    local: bool = False
    images: Path | None = None


class Agent:
    """One worker process. It dials out only: everything comes to it over the bus."""

    def __init__(
        self, bus: Bus, workshop: Workshop, identity: Identity, settings: AgentSettings
    ) -> None:
        self._bus = bus
        self._identity = identity
        self._speaker = identity.speaker
        self._outcomes = OutcomeReporter(bus, identity.speaker)
        self._workshop = workshop
        self._settings = settings
        own = OwnProcesses(os.getpid())
        self._probe = ResourceProbe(own, OwnProcesses(os.getppid()) if settings.local else own)
        self._politeness = Politeness(settings.politeness)
        self._images: ImageClient | None = None
        self._in_hand: dict[Running, asyncio.Task[None]] = {}
        self._draining = False
        self._command: Command | None = None
        self._paused: str | None = None
        self._heartbeat_seconds = 1.0
        self._heart: asyncio.Task[None] | None = None
        self._joining: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Join, then take calls. Raises ``JoinRefused`` for a no that is final."""
        await self._bus.subscribe(subjects.run(*self._speaker), self._on_run)
        await self._bus.subscribe(subjects.ping(*self._speaker), self._on_ping)
        await self._bus.subscribe(subjects.rejoin(*self._speaker), self._on_rejoin)
        await self._bus.subscribe(subjects.command(*self._speaker), self._on_command)
        await self._join()
        self._heart = asyncio.create_task(self._beat(), name="heartbeat")

    async def until_over(self) -> None:
        """Wait for what ends the worker: return if it has been told to drain.

        Raises ``JoinRefused`` if it may not join again.
        """
        await asyncio.shield(self._over)

    async def drain(self) -> None:
        """Take no more calls, and let what has begun finish within ``drain_seconds``.

        What has not begun is given back at once, and by ``stop`` what has not finished by then.
        """
        self._draining = True
        await try_to(self._send_heartbeat)
        self._workshop.give_back()
        if self._in_hand:
            log.info("finishing jobs in hand", jobs=len(self._in_hand))
            await asyncio.wait(self._in_hand.values(), timeout=self._settings.drain_seconds)

    async def stop(self) -> None:
        """Give back what is in hand and say goodbye.

        Where nobody answers it takes as long as the patience for an outcome.
        """
        self._draining = True
        self._workshop.give_back(begun=True)
        await asyncio.gather(*self._in_hand.values(), return_exceptions=True)
        # Its heart beats until here: what is being given back stays leased until it is.
        await end(*(chore for chore in (self._heart, self._joining) if chore))
        with contextlib.suppress(DpipError):
            await self._bus.publish(subjects.goodbye(*self._speaker), encode(Goodbye()))
        if self._images:
            await self._images.close()

    async def _join(self) -> None:
        hello = encode(
            Hello(
                protocol=PROTOCOL,
                tags=self._settings.tags,
                slots=self._settings.slots,
                prefetch=self._settings.prefetch,
                resources=self._probe.read(),
            )
        )
        delay = 0.1
        while True:
            try:
                subject = self._identity.hello()
                payload = await self._bus.request(subject, hello, _ANSWER_SECONDS)
                answer = decode_either(payload, Welcome, Refusal, subject)
            except DpipError as error:
                reason = str(error)
            else:
                if isinstance(answer, Welcome):
                    return self._enter(answer)
                if answer.final:
                    raise JoinRefused(name=self._speaker.worker, reason=answer.reason)
                reason = answer.reason
            # The parts of a system start in any order: a short wait is nothing to report.
            note = log.debug if delay < 1 else log.warning
            note("not joined yet, will try again", reason=reason)
            # Jitter, no secret.
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311  # nosec B311
            delay = min(delay * 2, _LONGEST_RETRY_SECONDS)

    def _enter(self, welcome: Welcome) -> None:
        endpoint = reachable_endpoint(welcome.image_store_endpoint, self._settings.controller_host)
        if self._images is None:
            self._images = ImageClient(
                endpoint,
                welcome.image_store_token,
                self._settings.tls,
                images=self._settings.images,
            )
        else:  # Jobs in hand go on with the new token.
            self._images.admit(endpoint, welcome.image_store_token)
        self._heartbeat_seconds = welcome.heartbeat_seconds
        self._obey(welcome.command)
        log.info("joined", image_store=welcome.image_store_endpoint)

    async def _beat(self) -> None:
        while True:
            await try_to(self._send_heartbeat)
            await asyncio.sleep(self._heartbeat_seconds)

    @property
    def _is_joining(self) -> bool:
        """Whether the controller knows this process no more, and has not taken it in again yet."""
        return self._joining is not None and not self._joining.done()

    async def _send_heartbeat(self) -> None:
        if self._is_joining:  # Its name may be another's.
            return
        resources = self._probe.read()
        self._pause(self._reason_to_pause(resources))
        beat = Heartbeat(
            tags=self._settings.tags,
            slots=self._settings.slots,
            prefetch=self._settings.prefetch,
            draining=self._draining,
            paused=self._paused,
            command=self._command,
            resources=resources,
            running=tuple(self._in_hand),
        )
        with contextlib.suppress(BusUnavailable):  # The next one may get through.
            await self._bus.publish(subjects.heartbeat(*self._speaker), encode(beat))

    def _reason_to_pause(self, resources: Resources) -> str | None:
        if self._command is Command.PAUSE:
            return "is paused by an administrator"
        yields_gpu = self._settings.politeness.yield_gpu
        return self._politeness.reason_to_pause(
            load=resources.cpu_others,
            gpu_user=self._probe.gpu_used_by_others() if yields_gpu else None,
            at=datetime.datetime.now().astimezone().time(),
        )

    def _pause(self, reason: str | None) -> None:
        """Take no more jobs while there is a reason, and give back those that have not begun."""
        if reason:
            self._workshop.give_back()
        if (reason is None) != (self._paused is None):
            log.info("pausing" if reason else "working again", reason=reason)
        self._paused = reason

    async def _on_command(self, subject: str, payload: bytes) -> None:
        self._obey(decode(payload, Told, subject).command)
        await self._send_heartbeat()

    def _obey(self, command: Command | None) -> None:
        if self._command is Command.DRAIN:  # That is final.
            return
        self._command = command
        if command is Command.DRAIN:
            self._draining = True
            if not self._over.done():
                self._over.set_result(None)

    async def _on_ping(self, _subject: str, _payload: bytes) -> bytes:
        return b""

    async def _on_rejoin(self, _subject: str, _payload: bytes) -> None:
        # Several heartbeats may each have been answered so before the first hello was.
        if not self._is_joining:
            self._joining = asyncio.create_task(self._join_again(), name="join again")

    async def _join_again(self) -> None:
        try:
            await self._join()
        except Exception as error:
            if not self._over.done():
                self._over.set_exception(error)

    async def _on_run(self, subject: str, payload: bytes) -> bytes:
        taken: list[Running] = []
        refusal = ""
        for run in decode(payload, RunBatch, subject).runs:
            attempt = Running(job_id=run.job_id, attempt=run.attempt)
            refusal = self._take(attempt, run)
            if not refusal:
                taken.append(attempt)
        return encode(Accepted(attempts=tuple(taken)) if taken else Refusal(reason=refusal))

    def _take(self, attempt: Running, run: Run) -> str:
        """Have ``run`` in hand from now on, or return why not."""
        if attempt in self._in_hand:
            return ""
        if self._draining:
            return "The worker is draining."
        if self._paused:
            return f"The worker {self._paused}."
        room = most_in_hand(self._settings.slots, self._settings.prefetch) + run.express
        if len(self._in_hand) >= room:
            return "The worker has its hands full."
        if self._images is None or self._is_joining:
            return "The worker has not joined yet."
        work = self._workshop.take_on(run, self._images)
        task = asyncio.create_task(self._see_through(run, work), name=f"job {run.job_id}")
        self._in_hand[attempt] = task
        task.add_done_callback(lambda _: self._in_hand.pop(attempt))
        return ""

    async def _see_through(self, run: Run, work: asyncio.Task[Outcome]) -> None:
        with structlog.contextvars.bound_contextvars(job=run.job_id, attempt=run.attempt):
            log.debug("job taken")
            try:
                outcome = await work
            except asyncio.CancelledError:
                outcome = Outcome(
                    job_id=run.job_id,
                    attempt=run.attempt,
                    kind=OutcomeKind.RETURNED,
                    untouched=True,
                )
            except Exception as error:
                log.exception("job failed unexpectedly")
                outcome = _failed(run, f"The worker failed unexpectedly: {error}")
            await self._outcomes.tell(outcome)
            log.debug("job ended", outcome=outcome.kind)


def _failed(run: Run, reason: str) -> Outcome:
    failure = Failure(code=FailureCode.CRASHED, reason=reason)
    return Outcome(job_id=run.job_id, attempt=run.attempt, kind=OutcomeKind.FAILED, failure=failure)
