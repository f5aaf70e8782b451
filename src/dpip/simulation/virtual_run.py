"""One run in virtual time: everything is set up, happens, and is measured."""

import asyncio
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct, structs

from dpip import config
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.scheduler.caller import WorkerCaller
from dpip.scheduler.leadership import Leadership
from dpip.scheduler.scheduler import Scheduler, SchedulerSettings
from dpip.simulation.agenda import Agenda
from dpip.simulation.bounds import TERM_SECONDS
from dpip.simulation.bulk_sql import BulkSql
from dpip.simulation.cpu_time import CpuTime
from dpip.simulation.scenario import Scenario
from dpip.simulation.virtual_bus import VirtualBus
from dpip.simulation.virtual_datastore import VirtualTimeDatastore
from dpip.simulation.virtual_time import VirtualClock, VirtualTimeLoop
from dpip.simulation.world import World

_LIMITS, _SETTINGS = config.LimitSettings(), config.SchedulerSettings()

OnProgress = Callable[[str], None]


class Finished(Struct, frozen=True):
    """A run that is over.

    ``scheduler_cpu_seconds`` is the CPU time of the whole process but for what the simulated world
    took: so the loop, the datastore's threads and the heartbeats are in it. ``peak_memory`` is that
    of the process, ``memory_before`` what it had before the scheduler began, in bytes.
    """

    world: World
    scheduler_cpu_seconds: float
    world_cpu_seconds: float
    placements: int
    events: int
    memory_before: int
    peak_memory: int
    done_rows: int


def run(
    scenario: Scenario, *, policy: str, on_progress: OnProgress, keep_runs: bool = False
) -> Finished:
    """Run ``scenario`` until all jobs have settled; ``keep_runs`` keeps every attempt."""
    random.seed(scenario.seed)  # Jitter is drawn from it.
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_run(scenario, policy, on_progress, keep_runs))


async def _run(
    scenario: Scenario, policy: str, on_progress: OnProgress, keep_runs: bool
) -> Finished:
    with tempfile.TemporaryDirectory(prefix="dpip-simulate-") as directory:
        url = f"sqlite:///{Path(directory) / 'dpip.sqlite'}"
        datastore = await VirtualTimeDatastore.open(url)
        bulk = BulkSql.open(url, scenario)
        try:
            return await _measure(scenario, datastore, bulk, policy, on_progress, keep_runs)
        finally:
            bulk.close()
            await datastore.close()


async def _measure(
    scenario: Scenario,
    datastore: VirtualTimeDatastore,
    bulk: BulkSql,
    policy: str,
    on_progress: OnProgress,
    keep_runs: bool,
) -> Finished:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)  # noqa: S101  # nosec B101
    clock, bus, own = VirtualClock(loop), VirtualBus(), CpuTime()
    on_progress("adding users and jobs")
    bulk.add_users()
    bulk.add_jobs([job for job, arrival in enumerate(scenario.jobs.arrival) if not arrival])
    agenda = Agenda(own)
    world = World(scenario, datastore, bulk, bus, clock, agenda, keep_runs=keep_runs)
    await world.begin()
    on_progress("placing")
    memory_before, cpu_before, own_before = _peak_memory(), time.process_time(), own.seconds
    async with _scheduler(datastore, bus, clock, policy) as scheduler:
        await world.over.wait()
        cpu = time.process_time() - cpu_before
    await world.end()
    await bus.close()
    return Finished(
        world=world,
        scheduler_cpu_seconds=cpu - (own.seconds - own_before),
        world_cpu_seconds=own.seconds - own_before,
        placements=world.attempts,
        events=agenda.events,
        memory_before=memory_before,
        peak_memory=_peak_memory(),
        done_rows=bulk.count("done"),
    )


@asynccontextmanager
async def _scheduler(
    datastore: Datastore, bus: Bus, clock: Clock, policy: str
) -> AsyncIterator[Scheduler]:
    leadership = Leadership(datastore, clock, holder="simulation")
    scheduler = Scheduler(
        datastore,
        bus,
        clock,
        WorkerCaller(bus, memory_limit=_LIMITS.job_memory_bytes, time_limit=_LIMITS.job_seconds),
        leadership,
        SchedulerSettings(
            memory_limit=_LIMITS.job_memory_bytes,
            silence_seconds=TERM_SECONDS,
            **{**structs.asdict(_SETTINGS), "policy": policy},
        ),
    )
    await leadership.start()
    await scheduler.start()
    try:
        yield scheduler
    finally:
        await scheduler.stop()
        await leadership.stop()


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
