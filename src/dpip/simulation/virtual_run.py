"""One run in virtual time: everything is set up, happens, and is measured."""

import asyncio
import random
import resource
import sys
import time
from collections.abc import Callable

from msgspec import Struct

from dpip.simulation.scenario import Scenario
from dpip.simulation.surroundings import scheduler, surroundings
from dpip.simulation.virtual_time import VirtualTimeLoop
from dpip.simulation.world import World

OnProgress = Callable[[str], None]


class Terms(Struct, frozen=True, kw_only=True):
    """How a run is done.

    ``pending``: so many jobs wait all the time, the rest comes as they end; otherwise all batches
    are there at once. ``placements``: the run ends after as many. ``keep_runs``: every attempt is
    kept, to be drawn.
    """

    policy: str
    pending: int | None = None
    placements: int | None = None
    keep_runs: bool = False


class Finished(Struct, frozen=True, kw_only=True):
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


def run(scenario: Scenario, terms: Terms, on_progress: OnProgress) -> Finished:
    """Run ``scenario`` until all jobs have settled, or as ``terms`` say."""
    random.seed(scenario.seed)  # Jitter is drawn from it.
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_run(scenario, terms, on_progress))


async def _run(scenario: Scenario, terms: Terms, on_progress: OnProgress) -> Finished:
    on_progress("adding users and jobs")
    async with surroundings(scenario) as around:
        bulk, agenda = around.bulk, around.agenda
        at_once = [job for job, arrival in enumerate(scenario.jobs.arrival) if not arrival]
        reserve: list[int] = []
        if terms.pending is not None:
            random.shuffle(at_once)
            at_once, reserve = at_once[: terms.pending], at_once[terms.pending :]
        bulk.add_jobs(sorted(at_once))
        world = World(
            around,
            keep_runs=terms.keep_runs,
            reserve=reserve,
            placements=terms.placements,
        )
        on_progress("letting workers join")
        await world.join()
        on_progress("placing")
        memory_before, cpu_before, own_before = (
            _peak_memory(),
            time.process_time(),
            agenda.own.seconds,
        )
        async with scheduler(around, terms.policy):
            world.begin()
            await world.over.wait()
            cpu = time.process_time() - cpu_before
            own = agenda.own.seconds - own_before
        await world.end()
        return Finished(
            world=world,
            scheduler_cpu_seconds=cpu - own,
            world_cpu_seconds=own,
            placements=world.placements,
            events=agenda.events,
            memory_before=memory_before,
            peak_memory=_peak_memory(),
            done_rows=bulk.count("done"),
        )


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
