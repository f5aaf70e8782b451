"""The remote procedure call to a worker."""

from collections.abc import Sequence

import structlog
from msgspec import Struct

from dpip.errors import DpipError, NoAnswerInTime
from dpip.model.job import Lease, PendingJob
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import decode_either, encode
from dpip.wire.messages import Accepted, Refusal, Run, RunBatch
from dpip.wire.subjects import Speaker

log = structlog.get_logger()

_ANSWER_SECONDS = 2.0


class LeasedRun(Struct, frozen=True, kw_only=True):
    """A leased job that its worker is to be called for."""

    job: PendingJob
    lease: Lease
    express: bool = False


class WorkerCaller:
    """Calls workers; what one is sent is data only."""

    def __init__(self, bus: Bus, *, memory_limit: int, time_limit: float) -> None:
        self._bus = bus
        self._memory_limit = memory_limit
        self._time_limit = time_limit

    async def run(self, worker: Speaker, runs: Sequence[LeasedRun]) -> set[Lease]:
        """Ask ``worker`` to work on leases, ``MOST_RUNS`` at most; those that it said it will.

        A refusal, nobody there and no message-passing server are all a no. Raises
        ``NoAnswerInTime`` where somebody is there and says nothing.
        """
        subject = subjects.run(*worker)
        call = RunBatch(runs=tuple(self._run(run) for run in runs))
        try:
            payload = await self._bus.request(subject, encode(call), _ANSWER_SECONDS)
            answer = decode_either(payload, Accepted, Refusal, subject)
        except NoAnswerInTime:
            raise
        except DpipError as error:
            reason = str(error)
        else:
            if isinstance(answer, Accepted):
                accepted = {(each.job_id, each.attempt) for each in answer.attempts}
                return {
                    run.lease for run in runs if (run.lease.job_id, run.lease.attempt) in accepted
                }
            reason = answer.reason
        log.warning("jobs not taken", worker=worker.worker, jobs=len(runs), reason=reason)
        return set()

    def _run(self, run: LeasedRun) -> Run:
        job = run.job
        return Run(
            job_id=job.id,
            attempt=run.lease.attempt,
            workload_id=job.workload_id,
            workload_name=job.workload_name,
            image_id=job.image_id,
            format=job.header.format,
            sha256=job.sha256,
            pipeline=job.pipeline,
            memory_limit=self._memory_limit,
            time_limit=self._time_limit,
            express=run.express,
        )
