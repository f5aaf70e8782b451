"""What becomes of a result that is not what its job asks for."""

import random

import structlog

from dpip.api.context import Context
from dpip.errors import DpipError, StaleAttempt
from dpip.model.image import Image
from dpip.model.job import JobState, Lease

log = structlog.get_logger()


async def refuse_result(context: Context, lease: Lease, original: Image, why: DpipError) -> None:
    """End the attempt as failed, and the worker's work with it if that is once too often.

    Raises ``StaleAttempt`` if the lease is no longer held.
    """
    refused = await context.datastore.refuse_result(
        lease,
        str(why),
        jitter=random.random(),  # noqa: S311  # nosec B311 # jitter, no secret
        now=context.clock.now(),
    )
    if refused is None:
        raise StaleAttempt(attempt=lease.attempt, job_id=lease.job_id)
    log.warning(
        "result refused",
        worker=lease.worker,
        job=lease.job_id,
        attempt=lease.attempt,
        reason=str(why),
        job_is=refused.job_is,
    )
    if refused.job_is is JobState.FAILED:
        context.hints.settled(original.workload_id)
    context.hints.jobs_ready()
