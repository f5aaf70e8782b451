"""The system at a glance."""

from fastapi import APIRouter

from dpip.api.auth import AnyUser
from dpip.api.context import InContext
from dpip.api.lookup import owner_filter
from dpip.api.schemas import StatusAnswer, WorkerReading, WorkloadSummary, utc

router = APIRouter()

_MOST_WORKLOADS = 200


@router.get("/status")
async def status(user: AnyUser, context: InContext) -> StatusAnswer:
    """Show the system, the workloads that have pictures to filter, and the workers."""
    workloads = await context.datastore.active_workloads(
        owner_id=owner_filter(user), limit=_MOST_WORKLOADS
    )
    workers = await context.datastore.workers()
    return StatusAnswer(
        system_name=context.settings.system_name,
        server_time=utc(context.clock.now()),
        active_workloads=[WorkloadSummary.of(workload) for workload in workloads],
        workers=[WorkerReading.of(worker) for worker in workers],
    )
