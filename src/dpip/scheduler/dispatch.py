"""What has been leased goes out to its workers, and what they do not take comes back."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog

from dpip.errors import DpipError, NoAnswerInTime
from dpip.model.job import Lease
from dpip.ports.clock import Clock
from dpip.ports.datastore import Jobs
from dpip.scheduler.caller import LeasedRun, WorkerCaller
from dpip.scheduler.fleet import Fleet
from dpip.wire.messages import MOST_RUNS

log = structlog.get_logger()

_TRY_AGAIN_SECONDS = 0.5


class Dispatch:
    """The calls under way; what a worker gets at once travels together."""

    def __init__(
        self,
        caller: WorkerCaller,
        jobs: Jobs,
        fleet: Fleet,
        clock: Clock,
        *,
        on_end: Callable[[], None],
    ) -> None:
        self._caller = caller
        self._jobs = jobs
        self._fleet = fleet
        self._clock = clock
        self._on_end = on_end
        self._calls: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.under_way: set[Lease] = set()
        """Leases whose worker has not answered yet."""

    def send(self, runs: Iterable[LeasedRun]) -> None:
        """Call the workers of these leases."""
        of_worker: dict[str, list[LeasedRun]] = defaultdict(list)
        for run in runs:
            of_worker[run.lease.worker].append(run)
            self.under_way.add(run.lease)
        for worker, batch in of_worker.items():
            for start in range(0, len(batch), MOST_RUNS):
                part = batch[start : start + MOST_RUNS]
                call = asyncio.create_task(self._send(worker, part), name=f"call {worker}")
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)

    async def settled(self) -> None:
        """Return when no call is under way."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def stop(self) -> None:
        """See the calls under way to their end."""
        self._stopping = True
        await self.settled()

    async def _send(self, worker: str, batch: list[LeasedRun]) -> None:
        leases = {run.lease for run in batch}
        try:
            left = leases - await self._taken(worker, batch)
            for lease in left:
                self._fleet.ended(lease)
            for lease in left:
                await self._give_back(lease)
        finally:
            self.under_way -= leases
            self._on_end()

    async def _taken(self, worker: str, batch: list[LeasedRun]) -> set[Lease]:
        node = self._fleet.node(worker)
        if node is None:
            return set()
        process = node.speaker
        try:
            taken = await self._caller.run(process, batch)
        except NoAnswerInTime as error:
            log.warning("jobs not taken", worker=worker, jobs=len(batch), reason=str(error))
            self._fleet.unanswered(process, self._clock.monotonic())
            return set()
        if taken:
            self._fleet.answered(process)
        else:
            # A worker that was not there, or said no, is asked again when it is heard again.
            self._fleet.gone(process)
        return taken

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
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
