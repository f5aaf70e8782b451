"""Workers come and go."""

import hashlib
import secrets

import structlog
from msgspec import Struct, structs

from dpip.controller.attempts import Attempts
from dpip.controller.latest import Latest
from dpip.controller.roll_call import RollCall
from dpip.errors import BusUnavailable, NoAnswerInTime, NoResponder, WorkerQuarantined
from dpip.model.job import Lease
from dpip.model.worker import AT_WORK, Command, Worker, WorkerState
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import PROTOCOL, Goodbye, Greeting, Hello, Refusal, Welcome
from dpip.wire.subjects import Speaker

log = structlog.get_logger()

_PING_SECONDS = 1.0
_MOST_WELCOMED = 10_000


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
        self._joining: set[str] = set()
        self._welcomed: Latest[str, _Welcomed] = Latest(_MOST_WELCOMED)

    async def hello(self, subject: str, payload: bytes) -> bytes:
        """Answer a ``Hello`` with ``Welcome`` or ``Refusal``."""
        speaker = subjects.speaker_in(subject)
        greeting = decode(payload, Greeting, subject)
        if greeting.protocol != PROTOCOL:
            return _refuse(
                speaker,
                f"it speaks protocol {greeting.protocol} and the controller {PROTOCOL}; "
                "install the same version of DPIP on both",
                final=True,
            )
        hello = decode(payload, Hello, subject)
        # Of two processes of one name the second is to find the first one there; and who keeps the
        # controller waiting under a name keeps nobody of another name waiting.
        if speaker.worker in self._joining:
            return _refuse(speaker, f"another process named {speaker.worker!r} is joining")
        self._joining.add(speaker.worker)
        try:
            return await self._answer(subject, speaker, hello)
        finally:
            self._joining.discard(speaker.worker)

    async def _answer(self, subject: str, speaker: Speaker, hello: Hello) -> bytes:
        join_token = await self._datastore.join_token(subjects.join_token_in(subject))
        if join_token is None or not join_token.is_in_force(self._clock.now()):
            return _refuse(speaker, "its join token is not in force any more")
        name = speaker.worker
        known = await self._datastore.worker(name)
        if known and known.state is WorkerState.QUARANTINED:
            return _refuse(speaker, str(WorkerQuarantined(name=name)))
        if known and known.instance != speaker.instance:
            if await self._is_alive(known):
                return _refuse(speaker, f"a worker named {name!r} is alive already")
            # The last one of the former process may say that it had been told to stop.
            await self._roll_call.write_readings(history=False)
            for lease in await self._leases_of(name):
                await self._attempts.lose(lease)
        if known and (again := await self._welcome_again(hello, speaker, known)):
            return encode(again)
        welcome = await self._take_in(
            hello, speaker, join_token.id, command=known.command if known else None
        )
        self._roll_call.registered(*speaker)
        self._welcomed[name] = _Welcomed(speaker, hello, welcome)
        return encode(welcome)

    async def _welcome_again(self, hello: Hello, speaker: Speaker, known: Worker) -> Welcome | None:
        """The answer to a process that is registered still and says what it said before."""
        before = self._welcomed.get(speaker.worker)
        if before is None or before.speaker != speaker or known.state not in AT_WORK:
            return None
        if structs.replace(hello, resources=before.hello.resources) != before.hello:
            return None
        if not await self._roll_call.is_registered(speaker):
            return None
        return structs.replace(before.welcome, command=known.command)

    async def goodbye(self, subject: str, payload: bytes) -> None:
        """Record that a worker has left; whatever it still held goes to others."""
        decode(payload, Goodbye, subject)
        speaker = subjects.speaker_in(subject)
        if not await self._roll_call.is_registered(speaker):
            return
        name = speaker.worker
        await self._roll_call.end(name, WorkerState.LEFT)
        for lease in await self._leases_of(name):
            await self._attempts.give_back(lease)
        log.info("worker left", worker=name)

    async def _take_in(
        self, hello: Hello, speaker: Speaker, join_token: str, *, command: Command | None
    ) -> Welcome:
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        # The token first: should the worker be quarantined in between, it is told of none.
        await self._datastore.add_worker_token(
            hashlib.sha256(token.encode()).hexdigest(), worker=speaker.worker, created_at=now
        )
        await self._datastore.add_worker(
            Worker(
                name=speaker.worker,
                instance=speaker.instance,
                join_token=join_token,
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
        log.info("worker joined", worker=speaker.worker, slots=hello.slots, tags=hello.tags)
        return Welcome(
            image_store_endpoint=self._image_store_endpoint,
            image_store_token=token,
            heartbeat_seconds=self._heartbeat_seconds,
            command=command,
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


class _Welcomed(Struct, frozen=True):
    """A process that was taken in, what it said, and the answer, whose token is good still."""

    speaker: Speaker
    hello: Hello
    welcome: Welcome


def _refuse(speaker: Speaker, reason: str, *, final: bool = False) -> bytes:
    log.warning("worker refused", worker=speaker.worker, reason=reason)
    return encode(Refusal(reason=reason, final=final))
