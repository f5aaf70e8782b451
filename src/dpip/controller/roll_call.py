"""Who is there: heartbeats come in, readings go to the datastore, the silent are called lost."""

import contextlib
from collections.abc import Sequence

import structlog

from dpip.controller.lease_reaper import LeaseReaper
from dpip.controller.watch import Watch
from dpip.errors import BusUnavailable
from dpip.model.worker import AT_WORK, Command, Reading, Worker, WorkerState
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Workers
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import Heartbeat, Told
from dpip.wire.subjects import Speaker

log = structlog.get_logger()


class RollCall:
    """Keeps the datastore's picture of the workers true.

    Readings are gathered and written together, so that a thousand workers cost one transaction.
    """

    def __init__(
        self,
        workers: Workers,
        reaper: LeaseReaper,
        bus: Bus,
        clock: Clock,
        watch: Watch,
        *,
        timeout_seconds: float,
    ) -> None:
        self._workers = workers
        self._reaper = reaper
        self._bus = bus
        self._clock = clock
        self._watch = watch
        self._timeout_seconds = timeout_seconds
        self._last_heard: dict[str, float] = {}
        self._instances: dict[str, str] = {}
        self._readings: dict[str, Reading] = {}
        self._quarantined: set[str] = set()
        self._commands: dict[Speaker, Command | None] = {}

    async def heartbeat(self, subject: str, payload: bytes) -> None:
        """Take a ``Heartbeat`` in: extend its leases, remember its reading.

        A worker that does not obey the command that stands is told it, again and again.
        """
        beat = decode(payload, Heartbeat, subject)
        speaker = subjects.speaker_in(subject)
        name = speaker.worker
        if not await self.is_registered(speaker):
            with contextlib.suppress(BusUnavailable):
                await self._bus.publish(subjects.rejoin(*speaker), b"")
            return
        self._last_heard[name] = self._watch.seconds()
        self._reaper.extend(name, beat.running)
        self._readings[name] = Reading(
            worker=name,
            state=_state(beat),
            resources=beat.resources,
            running=len(beat.running),
            at=self._clock.now(),
            paused=beat.paused,
        )
        await self._tell(speaker, beat)

    def registered(self, name: str, instance: str) -> None:
        """A worker was taken in under ``name``; other instances of it are nobody's now."""
        self._instances[name] = instance
        self._last_heard[name] = self._watch.seconds()

    async def end(self, name: str, state: WorkerState) -> None:
        """Record that a worker has gone; only a hello brings it back."""
        self._readings.pop(name, None)
        await self._workers.end_worker(name, state, self._clock.now())
        self._instances.pop(name, None)

    async def write_readings(self, *, history: bool) -> None:
        """Write what was read since the last time, into the ``history`` too or not."""
        readings, self._readings = self._readings, {}
        if not readings:
            return
        try:
            await self._workers.record_heartbeats(list(readings.values()), history=history)
        except BaseException:
            self._readings = {**readings, **self._readings}
            raise

    async def call(self) -> None:
        """Record as lost every worker that has been silent for too long, and learn of commands.

        One that had been told to stop has left: it is not there to say goodbye.
        """
        now = self._watch.seconds()
        workers = await self._workers.workers()
        self._commands = {Speaker(each.name, each.instance): each.command for each in workers}
        self._shut_out([each for each in workers if each.state is WorkerState.QUARANTINED])
        for worker in workers:
            if worker.state not in AT_WORK:
                continue
            # After a restart of the controller every worker has a full term to be heard again.
            silent = now - self._last_heard.setdefault(worker.name, now)
            if silent > self._timeout_seconds:
                draining = worker.state is WorkerState.DRAINING
                state = WorkerState.LEFT if draining else WorkerState.LOST
                log.warning(f"worker {state}", worker=worker.name, silent_seconds=round(silent, 1))
                await self.end(worker.name, state)

    async def _tell(self, speaker: Speaker, beat: Heartbeat) -> None:
        # A process that has not been looked up yet was told when it was taken in.
        command = self._commands.get(speaker, beat.command)
        if beat.command is not command:
            with contextlib.suppress(BusUnavailable):
                await self._bus.publish(subjects.command(*speaker), encode(Told(command=command)))

    def _shut_out(self, quarantined: Sequence[Worker]) -> None:
        for worker in quarantined:
            if worker.name not in self._quarantined:
                log.error("worker quarantined", worker=worker.name, reason=worker.paused)
            # Its heartbeats are nobody's: it is told to say hello, and will be let in some day.
            self._instances.pop(worker.name, None)
            self._readings.pop(worker.name, None)
        self._quarantined = {worker.name for worker in quarantined}

    async def is_registered(self, speaker: Speaker) -> bool:
        """Whether this process was taken in under its name, and has not gone since."""
        name = speaker.worker
        if name not in self._instances:
            known = await self._workers.worker(name)
            if known is None or known.state not in AT_WORK:
                return False
            self._instances[name] = known.instance
        return self._instances[name] == speaker.instance


def _state(beat: Heartbeat) -> WorkerState:
    if beat.draining:
        return WorkerState.DRAINING
    return WorkerState.PAUSED if beat.paused else WorkerState.ALIVE
