"""What the heartbeats of a fleet cost, with nothing else going on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import structs

from dpip import config
from dpip.controller.controller import Controller, ControllerTimes
from dpip.controller.nats_credentials import Issuer, new_seed
from dpip.model.image import PictureFormat
from dpip.simulation.bulk_sql import job_id
from dpip.simulation.scenario import Jobs, Scenario, draw
from dpip.simulation.simulated_worker import PREFETCH, SimulatedWorker
from dpip.simulation.surroundings import Surroundings, scheduler, surroundings
from dpip.simulation.virtual_time import VirtualTimeLoop
from dpip.simulation.world import HEARTBEAT_SECONDS, World
from dpip.wire.messages import Run

_SECONDS = 60.0
_WARM_UP_SECONDS = 5.0
_NEVER = 1e12
_LEASES = config.LeaseSettings()


def share_of_a_core(*, workers: int, seed: int, policy: str) -> float:
    """CPU time of controller and scheduler for a second of as many workers' heartbeats.

    The real controller runs with all its chores, and writes readings and history. Each worker beats
    once a second and has as many jobs in hand as it has slots, and two more.
    """
    endless = Jobs()
    endless.add(workload=0, width=1, height=1, work=_NEVER, memory=0)
    drawn = draw(workers=workers, jobs=20, seed=seed, mtbf=_NEVER)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_measure(structs.replace(drawn, jobs=endless), policy))


async def _measure(scenario: Scenario, policy: str) -> float:
    async with surroundings(scenario) as around:
        world = World(around)
        await world.join()
        for worker in world.workers:
            _keep_busy(worker)
        async with _controller(around), scheduler(around, policy):
            world.begin()
            await asyncio.sleep(_WARM_UP_SECONDS)
            cpu, own = time.process_time(), around.agenda.own.seconds
            await asyncio.sleep(_SECONDS)
            spent = time.process_time() - cpu - (around.agenda.own.seconds - own)
        await world.end()
    return spent / _SECONDS


def _keep_busy(worker: SimulatedWorker) -> None:
    worker.take(
        tuple(
            Run(
                job_id=job_id(0),
                attempt=attempt,
                workload_id="",
                workload_name="",
                image_id="",
                format=PictureFormat.JPEG,
                sha256="",
                pipeline=b"",
                memory_limit=0,
                time_limit=0,
            )
            for attempt in range(1, worker.plan.slots + PREFETCH + 1)
        )
    )


@asynccontextmanager
async def _controller(around: Surroundings) -> AsyncIterator[None]:
    controller = Controller(
        around.datastore,
        around.bus,
        around.clock,
        issuer=Issuer(new_seed()),
        image_store_endpoint="",
        times=ControllerTimes(
            heartbeat_seconds=HEARTBEAT_SECONDS,
            timeout_seconds=_LEASES.timeout_seconds,
            longest_lease_seconds=_NEVER,
            history_seconds=_NEVER,
        ),
    )
    await controller.start()
    try:
        yield
    finally:
        await controller.stop()
