"""A fleet of workers in one process, each with a real connection, whose jobs take no time."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip.chores import again_and_again
from dpip.controller.datastore import SqlDatastore
from dpip.data_directory import DataDirectory
from dpip.model.cost import Cost
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind
from dpip.model.job import Lease
from dpip.model.join_token import JoinSecret
from dpip.ports.datastore import Jobs
from dpip.simulation.scenario import WorkerPlan
from dpip.simulation.simulated_worker import PREFETCH, resources_of
from dpip.simulation.world import HEARTBEAT_SECONDS
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import (
    PROTOCOL,
    Accepted,
    Heartbeat,
    Hello,
    Outcome,
    OutcomeKind,
    Run,
    RunBatch,
    Running,
)
from dpip.wire.nats_bus import NatsBus
from dpip.worker.identity import Identity

_ANSWER_SECONDS = 20.0
_AT_ONCE = 10
"""Workers that connect at the same time."""
_NOTHING = Cost(milliseconds=0, cpu_milliseconds=0, memory=0)


class Orders(Struct, frozen=True, kw_only=True):
    """Which workers to be, and where; read from the standard input, as JSON."""

    controller: str
    data_dir: str
    workers: tuple[WorkerPlan, ...]


class LiveWorker:
    """Says and hears what a worker does; a result is a row without a picture."""

    def __init__(
        self, plan: WorkerPlan, controller: str, secret: JoinSecret, datastore: Jobs
    ) -> None:
        self._plan = plan
        self._identity = Identity(plan.name, lambda: secret)
        self._speaker = self._identity.speaker
        self._datastore = datastore
        self._in_hand: dict[Running, asyncio.Task[None]] = {}
        self.bus = NatsBus(
            controller,
            user=self._identity.user,
            password=self._identity.password,
            inbox=self._identity.inbox,
            name=f"worker {plan.name}",
        )

    async def join(self) -> None:
        """Be taken in, and take calls."""
        await self.bus.subscribe(subjects.run(*self._speaker), self._on_run)
        await self.bus.subscribe(subjects.ping(*self._speaker), self._on_ping)
        hello = Hello(
            protocol=PROTOCOL,
            tags=(),
            slots=self._plan.slots,
            prefetch=PREFETCH,
            resources=resources_of(self._plan),
        )
        await self.bus.request(self._identity.hello(), encode(hello), _ANSWER_SECONDS)

    async def beat(self) -> None:
        """Send a heartbeat."""
        beat = Heartbeat(
            tags=(),
            slots=self._plan.slots,
            prefetch=PREFETCH,
            draining=False,
            resources=resources_of(self._plan),
            running=tuple(self._in_hand),
        )
        await self.bus.publish(subjects.heartbeat(*self._speaker), encode(beat))

    async def _on_ping(self, _subject: str, _payload: bytes) -> bytes:
        return b""

    async def _on_run(self, subject: str, payload: bytes) -> bytes:
        batch = decode(payload, RunBatch, subject)
        attempts = [Running(job_id=run.job_id, attempt=run.attempt) for run in batch.runs]
        for run, attempt in zip(batch.runs, attempts, strict=True):
            self._in_hand[attempt] = asyncio.create_task(self._finish(run, attempt))
        return encode(Accepted(attempts=tuple(attempts)))

    async def _finish(self, run: Run, attempt: Running) -> None:
        lease = Lease(job_id=run.job_id, attempt=run.attempt, worker=self._plan.name)
        job = await self._datastore.leased_job(lease)
        if job:
            await self._datastore.complete(lease, _result_of(job.original), milliseconds=0, now=0)
        del self._in_hand[attempt]
        outcome = Outcome(
            job_id=run.job_id,
            attempt=run.attempt,
            kind=OutcomeKind.DONE if job else OutcomeKind.RETURNED,
            cost=_NOTHING,
        )
        await self.bus.request(subjects.outcome(*self._speaker), encode(outcome), _ANSWER_SECONDS)


def _result_of(original: Image) -> Image:
    return msgspec.structs.replace(
        original, id=new_id(), kind=ImageKind.FILTERED, source_id=original.id, size=0
    )


async def be_a_fleet(orders: Orders) -> None:
    """Be all the workers, until the standard input ends."""
    data = DataDirectory(Path(orders.data_dir))
    secret = JoinSecret.read(data.known_join_token() or "")
    async with AsyncExitStack() as parts:
        datastore = await SqlDatastore.open(data.database_url)
        parts.push_async_callback(datastore.close)
        workers = [
            LiveWorker(plan, orders.controller, secret, datastore) for plan in orders.workers
        ]
        joining = asyncio.Semaphore(_AT_ONCE)
        hearts: list[asyncio.Task[None]] = []

        async def join(worker: LiveWorker) -> None:
            async with joining:
                await parts.enter_async_context(worker.bus)
                await worker.join()
            hearts.append(asyncio.create_task(again_and_again(worker.beat, HEARTBEAT_SECONDS)))

        await asyncio.gather(*map(join, workers))
        await asyncio.to_thread(sys.stdin.buffer.read)
        for heart in hearts:
            heart.cancel()
        await asyncio.gather(*hearts, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(be_a_fleet(msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)))
