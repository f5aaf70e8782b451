"""Workers that say what they are told to say."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from dpip.model.cost import Cost
from dpip.model.job import Lease
from dpip.model.worker import Resources
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import (
    Accepted,
    Goodbye,
    Heartbeat,
    Outcome,
    OutcomeKind,
    Refusal,
    Run,
    RunBatch,
    Running,
)
from tests.integration.controller.parts import Parts
from tests.nats import PATIENCE

Answer = Callable[[RunBatch], Awaitable[Accepted | Refusal | None]]


async def accept(batch: RunBatch) -> Accepted:
    return Accepted(attempts=tuple(attempt_of(run) for run in batch.runs))


async def refuse(_batch: RunBatch) -> Refusal:
    return Refusal(reason="No.")


async def say_nothing(_batch: RunBatch) -> None:
    return None


def attempt_of(run: Run) -> Running:
    return Running(job_id=run.job_id, attempt=run.attempt)


class ScriptedWorker:
    """Answers calls with ``answer``, and beats when a test wants it to."""

    def __init__(
        self,
        bus: Bus,
        name: str,
        answer: Answer,
        slots: int,
        prefetch: int,
        instance: str = "i",
    ) -> None:
        self.name = name
        self.answer = answer
        self._instance = instance
        self._bus = bus
        self._slots = slots
        self._prefetch = prefetch
        self._calls: asyncio.Queue[RunBatch] = asyncio.Queue()
        self._runs: deque[Run] = deque()

    async def listen(self) -> None:
        await self._bus.subscribe(subjects.run(self.name, self._instance), self._on_run)

    async def beat(
        self, *running: Lease, draining: bool = False, memory_available: int = 1 << 30
    ) -> None:
        message = Heartbeat(
            tags=(),
            slots=self._slots,
            prefetch=self._prefetch,
            draining=draining,
            resources=Resources(
                cpu=0, cores=1, memory_total=1 << 31, memory_available=memory_available
            ),
            running=tuple(Running(job_id=each.job_id, attempt=each.attempt) for each in running),
        )
        await self._bus.publish(subjects.heartbeat(self.name, self._instance), encode(message))

    async def goodbye(self, instance: str = "i") -> None:
        await self._bus.publish(subjects.goodbye(self.name, instance), encode(Goodbye()))

    async def ended(
        self, run: Run, kind: OutcomeKind = OutcomeKind.DONE, cost: Cost | None = None
    ) -> None:
        message = Outcome(job_id=run.job_id, attempt=run.attempt, kind=kind, cost=cost)
        await self._bus.publish(subjects.outcome(self.name, "i"), encode(message))

    async def next_batch(self) -> RunBatch:
        """The next call."""
        async with asyncio.timeout(PATIENCE):
            return await self._calls.get()

    async def next(self) -> Run:
        """The next run of the calls, in whichever of them it came."""
        while not self._runs:
            self._runs.extend((await self.next_batch()).runs)
        return self._runs.popleft()

    @property
    def waiting(self) -> int:
        """How many calls have come in and not been looked at."""
        return self._calls.qsize()

    def lease(self, run: Run) -> Lease:
        return Lease(job_id=run.job_id, attempt=run.attempt, worker=self.name)

    async def _on_run(self, subject: str, payload: bytes) -> bytes | None:
        batch = decode(payload, RunBatch, subject)
        self._calls.put_nowait(batch)
        answer = await self.answer(batch)
        return encode(answer) if answer else None


class Workers:
    """Makes workers, which the controller has taken in."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(
        self, name: str = "w", answer: Answer = accept, *, slots: int = 1, prefetch: int = 0
    ) -> ScriptedWorker:
        worker = await self._made(name, answer, slots, prefetch)
        await worker.listen()
        return worker

    async def absent(self, name: str = "ghost") -> ScriptedWorker:
        """One that beats and does not listen."""
        return await self._made(name, accept, 1, 0)

    async def _made(self, name: str, answer: Answer, slots: int, prefetch: int) -> ScriptedWorker:
        await self._parts.hello(name, "i")
        return ScriptedWorker(self._parts.worker_bus, name, answer, slots, prefetch)
