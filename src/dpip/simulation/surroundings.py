"""What the real parts are given in a simulation: a bus, a datastore and a clock."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct, structs

from dpip import config
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
from dpip.simulation.virtual_time import VirtualClock, running_loop

_LIMITS, _DEFAULTS = config.LimitSettings(), config.SchedulerSettings()


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the real parts are given in a simulation, and what the world is made of."""

    scenario: Scenario
    datastore: VirtualTimeDatastore
    bulk: BulkSql
    bus: VirtualBus
    clock: VirtualClock
    agenda: Agenda


@asynccontextmanager
async def surroundings(scenario: Scenario) -> AsyncIterator[Surroundings]:
    """Have a datastore of its own, where the users are, and a bus for as long as the block lasts.

    The time of the agenda begins when the block does.
    """
    with tempfile.TemporaryDirectory(prefix="dpip-simulate-") as directory:
        url = f"sqlite:///{Path(directory) / 'dpip.sqlite'}"
        datastore = await VirtualTimeDatastore.open(url)
        bulk, bus = BulkSql.open(url, scenario), VirtualBus()
        bulk.add_users()
        try:
            yield Surroundings(
                scenario=scenario,
                datastore=datastore,
                bulk=bulk,
                bus=bus,
                clock=VirtualClock(running_loop()),
                agenda=Agenda(CpuTime()),
            )
        finally:
            await bus.close()
            bulk.close()
            await datastore.close()


@asynccontextmanager
async def scheduler(around: Surroundings, policy: str) -> AsyncIterator[None]:
    """Run the real one, which leads."""
    datastore, bus, clock = around.datastore, around.bus, around.clock
    leadership = Leadership(datastore, clock, holder="simulation")
    part = Scheduler(
        datastore,
        bus,
        clock,
        WorkerCaller(bus, memory_limit=_LIMITS.job_memory_bytes, time_limit=_LIMITS.job_seconds),
        leadership,
        SchedulerSettings(
            memory_limit=_LIMITS.job_memory_bytes,
            silence_seconds=TERM_SECONDS,
            **{**structs.asdict(_DEFAULTS), "policy": policy},
        ),
    )
    await leadership.start()
    await part.start()
    try:
        yield
    finally:
        await part.stop()
        await leadership.stop()
