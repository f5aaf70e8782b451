"""Workers come and go."""

import hashlib
import secrets

import structlog

from dpip.controller.attempts import Attempts
from dpip.controller.roll_call import RollCall
from dpip.errors import (
    BusUnavailable,
    DpipError,
    NoAnswerInTime,
    NoResponder,
    WorkerQuarantined,
)
from dpip.model.job import Lease
from dpip.model.worker import Worker, WorkerState, check_worker_name
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import PROTOCOL, Goodbye, Greeting, Hello, Refusal, Welcome

log = structlog.get_logger()

_PING_SECONDS = 1.0


class Registration:
    """Takes workers in and gives each a token of its own for the image store."""

    def __init__(
        self,
        datastore: Datastore,
        attempts: Attempts,
        roll_call: RollCall,
        bus: Bus,
        clock: Clock,
        *,
        image_store_endpoint: str,
        heartbeat_seconds: float,
    ) -> None:
        self._datastore = datastore
        self._attempts = attempts
        self._roll_call = roll_call
        self._bus = bus
        self._clock = clock
        self._image_store_endpoint = image_store_endpoint
        self._heartbeat_seconds = heartbeat_seconds

    async def hello(self, subject: str, payload: bytes) -> bytes:
        """Answer a ``Hello`` with ``Welcome`` or ``Refusal``."""
        greeting = decode(payload, Greeting, subject)
        if greeting.protocol != PROTOCOL:
            return _refuse(
                greeting.name,
                f"it speaks protocol {greeting.protocol} and the controller {PROTOCOL}; "
                "install the same version of DPIP on both",
                final=True,
            )
        hello = decode(payload, Hello, subject)
        try:
            check_worker_name(hello.name)
        except DpipError as error:
            return _refuse(hello.name, str(error), final=True)
        known = await self._datastore.worker(hello.name)
        if known and known.state is WorkerState.QUARANTINED:
            return _refuse(hello.name, str(WorkerQuarantined(name=hello.name)))
        if known and known.instance != hello.instance and await self._is_alive(known):
            return _refuse(hello.name, f"a worker named {hello.name!r} is alive already")
        if known and known.instance != hello.instance:
            # The last one of the former process may say that it had been told to stop.
            await self._roll_call.write_readings(history=False)
            for lease in await self._leases_of(hello.name):
                await self._attempts.lose(lease)
        welcome = await self._take_in(hello)
        self._roll_call.registered(hello.name, hello.instance)
        return encode(welcome)

    async def goodbye(self, subject: str, payload: bytes) -> None:
        """Record that a worker has left; whatever it still held goes to others."""
        goodbye = decode(payload, Goodbye, subject)
        name = subjects.worker_in(subject)
        known = await self._datastore.worker(name)
        if known is None or known.instance != goodbye.instance:
            return
        self._roll_call.left(name)
        await self._datastore.end_worker(name, WorkerState.LEFT, self._clock.now())
        for lease in await self._leases_of(name):
            await self._attempts.give_back(lease)
        log.info("worker left", worker=name)

    async def _take_in(self, hello: Hello) -> Welcome:
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        # The token first: should the worker be quarantined in between, it is told of none.
        await self._datastore.add_worker_token(
            hashlib.sha256(token.encode()).hexdigest(), worker=hello.name, created_at=now
        )
        await self._datastore.add_worker(
            Worker(
                name=hello.name,
                instance=hello.instance,
                tags=hello.tags,
                slots=hello.slots,
                prefetch=hello.prefetch,
                state=WorkerState.ALIVE,
                resources=hello.resources,
                running=0,
                joined_at=now,
                last_seen=now,
            )
        )
        log.info("worker joined", worker=hello.name, slots=hello.slots, tags=hello.tags)
        return Welcome(
            image_store_endpoint=self._image_store_endpoint,
            image_store_token=token,
            heartbeat_seconds=self._heartbeat_seconds,
        )

    async def _is_alive(self, worker: Worker) -> bool:
        if worker.state in (WorkerState.LEFT, WorkerState.LOST):
            return False
        try:
            await self._bus.request(subjects.ping(worker.name, worker.instance), b"", _PING_SECONDS)
        except NoResponder:
            return False
        except (NoAnswerInTime, BusUnavailable):
            # Connected and silent: frozen, maybe. Its leases decide when it is lost.
            return True
        return True

    async def _leases_of(self, worker: str) -> list[Lease]:
        return [lease for lease in await self._datastore.leases() if lease.worker == worker]


def _refuse(name: str, reason: str, *, final: bool = False) -> bytes:
    log.warning("worker refused", worker=name, reason=reason)
    return encode(Refusal(reason=reason, final=final))
