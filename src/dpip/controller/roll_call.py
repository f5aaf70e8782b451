"""Who is there: heartbeats come in, readings go to the datastore, the silent are called lost."""

import contextlib

import structlog

from dpip.controller.lease_reaper import LeaseReaper
from dpip.controller.watch import Watch
from dpip.errors import BusUnavailable
from dpip.model.worker import Resources, WorkerState
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Workers
from dpip.wire import subjects
from dpip.wire.codec import decode
from dpip.wire.messages import Heartbeat
from dpip.wire.subjects import Speaker

log = structlog.get_logger()

Reading = tuple[str, WorkerState, Resources, int, float]


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

    async def heartbeat(self, subject: str, payload: bytes) -> None:
        """Take a ``Heartbeat`` in: extend its leases, remember its reading."""
        beat = decode(payload, Heartbeat, subject)
        speaker = subjects.speaker_in(subject)
        name = speaker.worker
        if not await self.is_registered(speaker):
            with contextlib.suppress(BusUnavailable):
                await self._bus.publish(subjects.rejoin(*speaker), b"")
            return
        self._last_heard[name] = self._watch.seconds()
        self._reaper.extend(name, beat.running)
        self._readings[name] = (
            name,
            WorkerState.DRAINING if beat.draining else WorkerState.ALIVE,
            beat.resources,
            len(beat.running),
            self._clock.now(),
        )

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
        """Record as lost every worker that has been silent for too long.

        One that had been told to stop has left: it is not there to say goodbye.
        """
        now = self._watch.seconds()
        for worker in await self._workers.workers():
            if worker.state is WorkerState.QUARANTINED:
                self._quarantined(worker.name)
            if worker.state not in (WorkerState.ALIVE, WorkerState.DRAINING):
                continue
            # After a restart of the controller every worker has a full term to be heard again.
            silent = now - self._last_heard.setdefault(worker.name, now)
            if silent > self._timeout_seconds:
                draining = worker.state is WorkerState.DRAINING
                state = WorkerState.LEFT if draining else WorkerState.LOST
                log.warning(f"worker {state}", worker=worker.name, silent_seconds=round(silent, 1))
                await self.end(worker.name, state)

    def _quarantined(self, name: str) -> None:
        # Its heartbeats are nobody's now: it is told to say hello, and will be let in some day.
        self._instances.pop(name, None)
        self._readings.pop(name, None)

    async def is_registered(self, speaker: Speaker) -> bool:
        """Whether this process was taken in under its name, and has not gone since."""
        name = speaker.worker
        if name not in self._instances:
            known = await self._workers.worker(name)
            if known is None or known.state not in (WorkerState.ALIVE, WorkerState.DRAINING):
                return False
            self._instances[name] = known.instance
        return self._instances[name] == speaker.instance
