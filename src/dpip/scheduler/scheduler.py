"""The loop that binds jobs to workers, as late as it can."""

import asyncio
import contextlib
import math
from collections.abc import Sequence

import structlog

from dpip.chores import again_and_again
from dpip.errors import DpipError, NoAnswerInTime
from dpip.model.job import Lease, PendingJob
from dpip.model.worker import AT_WORK
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Jobs, Workers
from dpip.scheduler.caller import WorkerCaller
from dpip.scheduler.fleet import Fleet, Node
from dpip.scheduler.placement import EVERY_JOB, Placement, infeasibility, place
from dpip.wire import subjects
from dpip.wire.codec import decode
from dpip.wire.messages import Goodbye, Heartbeat, Outcome, OutcomeKind
from dpip.wire.subjects import Speaker

log = structlog.get_logger()

_WINDOW = 256
_LOOK_AGAIN_SECONDS = 0.5
_ALIGN_SECONDS = 2.0
_SAY_AGAIN_SECONDS = 60.0


class Scheduler:
    """Leases a job only when a worker that fits has room for it now, then calls that worker.

    It acts when something has happened: jobs are ready, a worker has room. Should it miss that,
    it looks by itself a moment later. Of the backlog it holds a window only.
    """

    def __init__(
        self,
        jobs: Jobs,
        workers: Workers,
        bus: Bus,
        clock: Clock,
        caller: WorkerCaller,
        *,
        silence_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._workers = workers
        self._bus = bus
        self._clock = clock
        self._caller = caller
        self._fleet = Fleet(silence_seconds=silence_seconds)
        self._wake = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._calling: set[Lease] = set()
        self._ended_lately: set[Lease] = set()
        self._placing: asyncio.Task[None] | None = None
        self._aligning: asyncio.Task[None] | None = None
        self._stopping = False
        self._said_at = -math.inf

    async def start(self) -> None:
        """Begin to listen and to place."""
        await self._bus.subscribe(subjects.HEARTBEATS, self._on_heartbeat)
        await self._bus.subscribe(subjects.GOODBYES, self._on_goodbye)
        await self._bus.subscribe(subjects.OUTCOMES, self._on_outcome)
        await self._bus.subscribe(subjects.JOBS_READY, self._on_jobs_ready)
        self._placing = asyncio.create_task(self._place_when_woken(), name="place")
        self._aligning = asyncio.create_task(
            again_and_again(self._align, _ALIGN_SECONDS), name="align"
        )

    async def stop(self) -> None:
        """Place nothing more; calls under way are seen to their end."""
        # Not cancelled while it places: a lease just taken would reach no worker.
        self._stopping = True
        self._wake.set()
        if self._placing:
            await self._placing
        if self._aligning:
            self._aligning.cancel()
            await asyncio.gather(self._aligning, return_exceptions=True)
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _place_when_woken(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_AGAIN_SECONDS)
            if self._stopping:
                return
            self._wake.clear()
            try:
                await self._place()
            except DpipError as error:
                log.warning("nothing placed, will try again", reason=str(error))
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            except Exception:
                log.exception("nothing placed, will try again")
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _place(self) -> None:
        nodes = self._fleet.reachable(self._clock.monotonic())
        room = sum(max(0, node.room) for node in nodes if not node.draining)
        if not room:
            return
        jobs = await self._jobs.pending_jobs(now=self._clock.now(), limit=min(room, _WINDOW))
        placements = {placed.job.id: placed for placed in place(jobs, nodes)}
        if jobs and not placements:
            self._say_why(nodes)
        leases = await self._jobs.lease(
            [(placed.job.id, placed.worker) for placed in placements.values()]
        )
        for lease in leases:
            self._call(placements[lease.job_id], lease)

    def _say_why(self, nodes: Sequence[Node]) -> None:
        if self._clock.monotonic() - self._said_at < _SAY_AGAIN_SECONDS:
            return
        self._said_at = self._clock.monotonic()
        reasons = {f"{node.name} {infeasibility(node, EVERY_JOB)}" for node in nodes}
        log.warning("jobs wait, and no worker can take one", reason="; ".join(sorted(reasons)))

    def _call(self, placed: Placement, lease: Lease) -> None:
        self._fleet.placed(lease)
        self._calling.add(lease)
        call = asyncio.create_task(self._send(placed.job, lease))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _send(self, job: PendingJob, lease: Lease) -> None:
        try:
            if not await self._is_taken(job, lease):
                self._end(lease)
                await self._give_back(lease)
        finally:
            self._calling.discard(lease)
            self._wake.set()

    async def _give_back(self, lease: Lease) -> None:
        while True:
            try:
                await self._jobs.give_back(lease)
            except DpipError as error:
                log.warning("job not given back", job=lease.job_id, reason=str(error))
            else:
                return
            if self._stopping:  # The controller does it, when no heartbeat lists the lease.
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _is_taken(self, job: PendingJob, lease: Lease) -> bool:
        node = self._fleet.node(lease.worker)
        if node is None:
            return False
        try:
            taken = await self._caller.run(job, lease, node)
        except NoAnswerInTime as error:
            log.warning("job not taken", worker=node.name, job=job.id, reason=str(error))
            self._fleet.unanswered(node.speaker, self._clock.monotonic())
            return False
        if taken:
            self._fleet.answered(node.speaker)
        else:
            # A worker that was not there, or said no, is asked again when it is heard again.
            self._fleet.gone(node.speaker)
        return taken

    async def _align(self) -> None:
        # What begins or ends during the reading is newer than what is read.
        self._ended_lately.clear()
        calling = set(self._calling)
        out = set(await self._jobs.leases())
        self._fleet.align((out | calling | self._calling) - self._ended_lately)
        self._fleet.quarantine(await self._jobs.quarantined_workers())
        await self._forget_the_unregistered()

    async def _forget_the_unregistered(self) -> None:
        # Only those known before the reading: who is heard while it goes on is newer.
        known = self._fleet.processes()
        workers = await self._workers.workers()
        for process in known - {
            Speaker(each.name, each.instance) for each in workers if each.state in AT_WORK
        }:
            self._fleet.gone(process)

    async def _on_heartbeat(self, subject: str, payload: bytes) -> None:
        beat = decode(payload, Heartbeat, subject)
        speaker = subjects.speaker_in(subject)
        if self._fleet.has(speaker) or await self._is_registered(speaker):
            self._fleet.heard(*speaker, beat, self._clock.monotonic())
            self._wake.set()

    async def _on_goodbye(self, subject: str, payload: bytes) -> None:
        decode(payload, Goodbye, subject)
        self._fleet.gone(subjects.speaker_in(subject))

    async def _on_outcome(self, subject: str, payload: bytes) -> None:
        outcome = decode(payload, Outcome, subject)
        speaker = subjects.speaker_in(subject)
        if not self._fleet.has(speaker):
            return
        self._end(Lease(job_id=outcome.job_id, attempt=outcome.attempt, worker=speaker.worker))
        if outcome.kind is OutcomeKind.RETURNED:
            self._fleet.returned(speaker, self._clock.monotonic())
        else:
            self._fleet.finished(speaker)
        self._wake.set()

    async def _is_registered(self, speaker: Speaker) -> bool:
        """Whether the controller has taken this process in, and not only let it say hello."""
        worker = await self._workers.worker(speaker.worker)
        return (
            worker is not None and worker.instance == speaker.instance and worker.state in AT_WORK
        )

    def _end(self, lease: Lease) -> None:
        self._ended_lately.add(lease)
        self._fleet.ended(lease)

    async def _on_jobs_ready(self, _subject: str, _payload: bytes) -> None:
        self._wake.set()
