"""The controller's parts on a real datastore, a real bus, and a clock that is set by hand."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from dpip.controller.attempts import Attempts
from dpip.controller.connections import Connections
from dpip.controller.datastore import SqlDatastore
from dpip.controller.flood_guard import FloodGuard
from dpip.controller.lease_reaper import LeaseReaper
from dpip.controller.outcomes import Outcomes
from dpip.controller.registration import Registration
from dpip.controller.roll_call import RollCall
from dpip.controller.watch import Watch
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind, PictureFormat, PictureHeader
from dpip.model.job import MAX_RETRY_DELAY, Failure, FailureCode, Lease, SettledJob
from dpip.model.user import Role, User
from dpip.model.worker import MOST_REFUSED, Command, Resources, Worker
from dpip.model.workload import JobCounts, Workload
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import decode, decode_either, encode
from dpip.wire.messages import (
    PROTOCOL,
    Acknowledged,
    Goodbye,
    Heartbeat,
    Hello,
    Outcome,
    OutcomeKind,
    Refusal,
    Running,
    Welcome,
)
from dpip.wire.nats_bus import NatsBus
from tests.contract.builders import NO_TERM, build_placement
from tests.nats import JOIN_TOKEN, PATIENCE, message_server, part_of

TERM = 6.0
LONGEST = 10 * TERM
RESOURCES = Resources(cpu=0.5, cores=2, memory_total=8, memory_available=4)


class HandClock:
    """Both clocks stand still until they are moved, each by itself or both together."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.steady = 50.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


class PatientBus:
    """A bus whose requests may take as long as a loaded machine does."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        return await self._bus.request(subject, payload, max(timeout, PATIENCE))


class Parts:
    """What a controller is made of, without its chores: a test does them when it wants to."""

    def __init__(self, datastore: SqlDatastore, bus: NatsBus, worker_bus: NatsBus) -> None:
        self.datastore = datastore
        self.bus = bus
        self.worker_bus = worker_bus
        self.clock = HandClock()
        self.workload_id = new_id()
        self.restart()

    def restart(self) -> None:
        """Forget all that is not in the datastore."""
        self.attempts = Attempts(self.datastore, self.bus, self.clock)
        self.watch = Watch(PatientBus(self.bus), self.clock, term_seconds=TERM)
        self.reaper = LeaseReaper(
            self.datastore,
            self.attempts,
            self.watch,
            term_seconds=TERM,
            longest_seconds=LONGEST,
        )
        self.roll_call = RollCall(
            self.datastore,
            self.reaper,
            self.bus,
            self.clock,
            self.watch,
            timeout_seconds=TERM,
        )
        self.registration = Registration(
            self.datastore,
            self.attempts,
            self.roll_call,
            self.bus,
            self.clock,
            image_store_endpoint="http://images:80",
            heartbeat_seconds=1.5,
        )
        guard = FloodGuard(Connections(self.bus), self.clock)
        self.outcomes = Outcomes(self.attempts, self.roll_call, self.reaper, guard)

    async def pass_by(self, seconds: float) -> None:
        """Let time pass in which the controller watches."""
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            self.clock.pass_by(min(left, TERM / 4))
            await self.watch.look()

    async def add_workload(self) -> None:
        now = self.clock.now()
        await self.datastore.add_user(
            User(id="owner", name="o", role=Role.USER, password_hash="", created_at=now)
        )
        await self.datastore.add_workload(
            Workload(
                id=self.workload_id,
                name="holiday",
                owner_id="owner",
                pipeline=b"[]",
                created_at=now,
            )
        )

    async def hello(
        self,
        name: str = "w",
        instance: str = "one",
        protocol: int = PROTOCOL,
        join_token: str = JOIN_TOKEN.id,
    ) -> Welcome | Refusal:
        """The answer to a worker that wants to join."""
        message = Hello(
            protocol=protocol,
            tags=("fast",),
            slots=2,
            prefetch=1,
            resources=RESOURCES,
        )
        subject = subjects.hello(join_token, name, instance)
        answer = await self.registration.hello(subject, encode(message))
        return decode_either(answer, Welcome, Refusal, subject)

    async def beat(
        self,
        *leases: Lease,
        name: str = "w",
        instance: str = "one",
        draining: bool = False,
        cpu: float = 0.5,
        paused: str | None = None,
        command: Command | None = None,
    ) -> None:
        """Hand in a heartbeat with ``leases`` in hand."""
        message = Heartbeat(
            tags=("fast",),
            slots=2,
            prefetch=1,
            draining=draining,
            paused=paused,
            command=command,
            resources=Resources(cpu=cpu, cores=2, memory_total=8, memory_available=4),
            running=tuple(Running(job_id=each.job_id, attempt=each.attempt) for each in leases),
        )
        await self.roll_call.heartbeat(subjects.heartbeat(name, instance), encode(message))

    async def goodbye(self, name: str = "w", instance: str = "one") -> None:
        await self.registration.goodbye(subjects.goodbye(name, instance), encode(Goodbye()))

    async def outcome(
        self,
        lease: Lease,
        kind: OutcomeKind,
        failure: Failure | None = None,
        worker: str = "",
        instance: str = "one",
    ) -> None:
        """Hand in the outcome of an attempt; it is acknowledged."""
        subject = subjects.outcome(worker or lease.worker, instance)
        message = Outcome(job_id=lease.job_id, attempt=lease.attempt, kind=kind, failure=failure)
        answer = await self.outcomes.outcome(subject, encode(message))
        decode(answer, Acknowledged, subject)

    async def add_job(self) -> str:
        """The id of a new job, which is pending."""
        job_id = new_id()
        await self.datastore.add_original(self.image(), job_id)
        return job_id

    async def lease(self, worker: str = "w") -> Lease:
        """A new job, leased to ``worker``."""
        return await self.lease_again(await self.add_job(), worker)

    async def lease_again(self, job_id: str, worker: str = "w") -> Lease:
        placement = build_placement(job_id, worker)
        return (await self.datastore.lease([placement], term=NO_TERM))[0]

    def image(self, source_id: str | None = None) -> Image:
        return Image(
            id=new_id(),
            workload_id=self.workload_id,
            workload_name="holiday",
            owner_id="owner",
            kind=ImageKind.FILTERED if source_id else ImageKind.ORIGINAL,
            header=PictureHeader(format=PictureFormat.PNG, width=1, height=1),
            size=1,
            sha256="00",
            created_at=self.clock.now(),
            source_id=source_id,
        )

    async def quarantine(self, name: str = "w") -> None:
        """Refuse results of ``name`` until it is quarantined."""
        for _ in range(MOST_REFUSED):
            refused = await self.datastore.refuse_result(
                await self.lease(name), "It is none.", jitter=0.0, now=self.clock.now()
            )
        assert refused is not None
        assert refused.quarantined

    async def counts(self) -> JobCounts:
        workload = await self.datastore.workload(self.workload_id)
        assert workload is not None
        return workload.counts

    async def failed(self) -> list[SettledJob]:
        return await self.datastore.failed_jobs(self.workload_id)

    async def failures(self, job_id: str) -> int:
        """How many attempts of a pending job have failed."""
        later = self.clock.now() + MAX_RETRY_DELAY
        jobs = await self.datastore.pending_jobs(self.workload_id, now=later, limit=1000)
        return next(job.failures for job in jobs if job.id == job_id)

    async def worker(self, name: str = "w") -> Worker:
        worker = await self.datastore.worker(name)
        assert worker is not None
        return worker


FAILURE = Failure(code=FailureCode.DECODE_FAILED, reason="Not a picture.")


@asynccontextmanager
async def controller_parts(directory: Path) -> AsyncIterator[Parts]:
    """Set the parts up, with a workload that jobs can be added to."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(message_server(directory))
        bus = await stack.enter_async_context(part_of(server))
        worker_bus = await stack.enter_async_context(part_of(server))
        datastore = await SqlDatastore.open(f"sqlite:///{directory}/dpip.db")
        stack.push_async_callback(datastore.close)
        parts = Parts(datastore, bus, worker_bus)
        await parts.add_workload()
        await datastore.add_join_token(JOIN_TOKEN)
        yield parts
