"""Workers: listed, and told to pause, to go on and to leave."""

from http import HTTPStatus

from fastapi import APIRouter, Depends

from dpip.api.auth import administrator
from dpip.api.context import Context, InContext
from dpip.api.openapi import problems
from dpip.api.schemas import WorkerList, WorkerReading
from dpip.errors import NotFound
from dpip.model.worker import Command, is_worker_name

router = APIRouter(prefix="/workers")
commands = APIRouter(
    dependencies=[Depends(administrator)],
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)


@router.get("")
async def list_workers(context: InContext) -> WorkerList:
    """List the workers, those that have gone lately too."""
    workers = await context.datastore.workers()
    return WorkerList(workers=[WorkerReading.of(worker) for worker in workers])


@commands.post("/{name}/pause")
async def pause_worker(name: str, context: InContext) -> WorkerReading:
    """Have a worker finish what it has begun and take no more, until it is to resume."""
    return await _tell(context, name, Command.PAUSE)


@commands.post("/{name}/resume")
async def resume_worker(name: str, context: InContext) -> WorkerReading:
    """Have a worker that was to pause work again."""
    return await _tell(context, name, None)


@commands.post("/{name}/drain")
async def drain_worker(name: str, context: InContext) -> WorkerReading:
    """Have a worker finish what it has begun, and leave."""
    return await _tell(context, name, Command.DRAIN)


async def _tell(context: Context, name: str, command: Command | None) -> WorkerReading:
    if is_worker_name(name):
        await context.datastore.set_command(name, command)
        if worker := await context.datastore.worker(name):
            return WorkerReading.of(worker)
    raise NotFound(kind="worker", id=name)


router.include_router(commands)
