"""The remote procedure call to a worker."""

import structlog

from dpip.errors import DpipError, NoAnswerInTime
from dpip.model.job import Lease, PendingJob
from dpip.ports.bus import Bus
from dpip.scheduler.fleet import Node
from dpip.wire import subjects
from dpip.wire.codec import decode_either, encode
from dpip.wire.messages import Accepted, Refusal, Run

log = structlog.get_logger()

_ANSWER_SECONDS = 2.0


class WorkerCaller:
    """Calls workers; what one is sent is data only."""

    def __init__(self, bus: Bus, *, memory_limit: int, time_limit: float) -> None:
        self._bus = bus
        self._memory_limit = memory_limit
        self._time_limit = time_limit

    async def run(self, job: PendingJob, lease: Lease, node: Node) -> bool:
        """Ask ``node`` to work on ``lease``; whether it said that it will.

        A refusal, nobody there and no message-passing server are all a no. Raises
        ``NoAnswerInTime`` where somebody is there and says nothing.
        """
        subject = subjects.run(node.name, node.instance)
        call = Run(
            job_id=job.id,
            attempt=lease.attempt,
            workload_id=job.workload_id,
            image_id=job.image_id,
            format=job.header.format,
            pipeline=job.pipeline,
            memory_limit=self._memory_limit,
            time_limit=self._time_limit,
        )
        try:
            payload = await self._bus.request(subject, encode(call), _ANSWER_SECONDS)
            answer = decode_either(payload, Accepted, Refusal, subject)
        except NoAnswerInTime:
            raise
        except DpipError as error:
            reason = str(error)
        else:
            if isinstance(answer, Accepted):
                return True
            reason = answer.reason
        log.warning(
            "job not taken", worker=node.name, job=job.id, attempt=lease.attempt, reason=reason
        )
        return False
