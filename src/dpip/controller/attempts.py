"""What the controller does about attempts that end without a result."""

import contextlib
import random
from collections.abc import Awaitable, Callable

import structlog

from dpip.errors import BusUnavailable
from dpip.model.job import Failure, FailureCode, JobState, Lease, RefusedResult
from dpip.model.worker import WorkerState
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.wire import subjects

log = structlog.get_logger()

_WORKER_LOST = Failure(
    code=FailureCode.WORKER_LOST,
    reason="The worker fell silent or was started anew before it had a result.",
)

_NO_RESULT = Failure(
    code=FailureCode.RESULT_REFUSED,
    reason="The worker said that the picture is done, and has handed in no result.",
)


class Attempts:
    """Ends attempts in the datastore and tells whoever waits for it."""

    def __init__(self, datastore: Datastore, bus: Bus, clock: Clock) -> None:
        self._datastore = datastore
        self._bus = bus
        self._clock = clock

    async def fail(self, lease: Lease, failure: Failure) -> bool:
        """Count a failed attempt; the job waits for its next one, or is failed for good.

        Whether the lease was held.
        """
        job = await self._datastore.leased_job(lease)
        if job is None:
            return False
        state = await self._datastore.fail(
            lease,
            failure,
            jitter=random.random(),  # noqa: S311  # nosec B311 # jitter, no secret
            now=self._clock.now(),
        )
        _log_failure(lease, failure.code, failure.reason, state)
        if state is JobState.FAILED:
            await self._tell(subjects.settled(job.original.workload_id))
        else:
            await self._tell(subjects.JOBS_READY)
        return True

    async def time_out(self, lease: Lease, reason: str) -> None:
        """Count an attempt that was held for too long, and hold it against its worker.

        Who keeps holding on to jobs is quarantined, and what else it holds is pending again.
        """
        await self._hold_against(
            lease, self._datastore.time_out, Failure(code=FailureCode.TIMED_OUT, reason=reason)
        )

    async def disbelieve(self, lease: Lease) -> None:
        """Count an attempt whose worker says that it is done, as if a wrong result were refused."""
        await self._hold_against(lease, self._datastore.refuse_result, _NO_RESULT)

    async def give_back(self, lease: Lease) -> bool:
        """Return a job to pending; its attempt does not count as failed.

        Whether the lease was held.
        """
        # What is not held is not worth a turn of the one who writes.
        if await self._datastore.leased_job(lease) is None:
            return False
        given_back = await self._datastore.give_back(lease)
        if given_back:
            await self._tell(subjects.JOBS_READY)
        return given_back

    async def lose(self, lease: Lease) -> None:
        """End an attempt whose worker is gone.

        It counts as failed, for the job may be what ended the worker; but not if the worker had
        been told to stop, which explains its end.
        """
        worker = await self._datastore.worker(lease.worker)
        if worker and worker.state in (WorkerState.DRAINING, WorkerState.LEFT):
            await self.give_back(lease)
        else:
            await self.fail(lease, _WORKER_LOST)

    async def _hold_against(
        self,
        lease: Lease,
        end: Callable[..., Awaitable[RefusedResult | None]],
        failure: Failure,
    ) -> None:
        job = await self._datastore.leased_job(lease)
        if job is None:
            return
        ended = await end(
            lease,
            failure.reason,
            jitter=random.random(),  # noqa: S311  # nosec B311 # jitter, no secret
            now=self._clock.now(),
        )
        if ended is None:
            return
        _log_failure(lease, failure.code, failure.reason, ended.job_is)
        if ended.job_is is JobState.FAILED:
            await self._tell(subjects.settled(job.original.workload_id))
        await self._tell(subjects.JOBS_READY)

    async def _tell(self, subject: str) -> None:
        # A hint that is lost costs its listener one look at the datastore, a little later.
        with contextlib.suppress(BusUnavailable):
            await self._bus.publish(subject, b"")


def _log_failure(lease: Lease, code: FailureCode, reason: str, job_is: JobState | None) -> None:
    log.warning(
        "attempt failed",
        worker=lease.worker,
        job=lease.job_id,
        attempt=lease.attempt,
        code=code,
        reason=reason,
        job_is=job_is,
    )
