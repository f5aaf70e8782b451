"""The real scheduler and datastore in virtual time."""

import asyncio
import re
from xml.etree import ElementTree

from dpip.model.worker import WorkerState
from dpip.model.workload import JobCounts
from dpip.simulation.plot import plot
from dpip.simulation.report import fairness
from dpip.simulation.scenario import Scenario, draw
from dpip.simulation.surroundings import scheduler, surroundings
from dpip.simulation.virtual_run import Finished, Terms, run
from dpip.simulation.virtual_time import VirtualTimeLoop
from dpip.simulation.world import World


def finished(scenario: Scenario, *, keep_runs: bool = False) -> Finished:
    return run(scenario, Terms(policy="least_loaded", keep_runs=keep_runs), lambda _: None)


def test_the_same_seed_ends_the_same() -> None:
    """Every job starts and ends at the same moment, workers' deaths and all."""
    first, second = (finished(draw(workers=4, jobs=150, seed=2, mtbf=10)) for _ in range(2))
    assert first.world.started == second.world.started
    assert first.world.ended == second.world.ended
    assert first.placements == second.placements


def test_every_job_is_done_though_workers_die() -> None:
    """What dies with a worker is done by others, and the rows of all jobs say so."""
    scenario = draw(workers=4, jobs=150, seed=2, mtbf=10)
    ended = finished(scenario, keep_runs=True)
    assert ended.world.deaths
    assert ended.world.lost_attempts
    assert ended.placements >= 150 + ended.world.lost_attempts
    assert ended.done_rows == 150
    assert ended.world.failed == 0
    assert all(
        started >= arrival
        for started, arrival in zip(ended.world.started, scenario.jobs.arrival, strict=True)
    )
    assert 0 < fairness(scenario, ended.world) <= 1


def test_every_attempt_is_drawn() -> None:
    """The drawing is XML, with a box of the height of a lane for each attempt."""
    scenario = draw(workers=4, jobs=150, seed=2, mtbf=10)
    world = finished(scenario, keep_runs=True).world
    drawn = plot(scenario, world)
    ElementTree.fromstring(drawn)
    axis = re.search(r'd="M[\d.]+ ([\d.]+)H', drawn)
    assert axis
    tops = re.findall(r"M[\d.]+ ([\d.]+)h[\d.]+v5h", drawn)
    in_lanes = [top for top in tops if float(top) < float(axis[1])]
    assert len(in_lanes) == len(world.runs) + len(world.broken_off)
    assert len(world.runs) >= 150
    assert world.broken_off


def test_the_counters_of_the_datastore_are_true() -> None:
    """Workloads count all of their jobs as done, and workers are alive, when all is over."""
    scenario = draw(workers=3, jobs=60, seed=1, mtbf=1e12)

    async def counts() -> tuple[list[JobCounts], set[WorkerState]]:
        async with surroundings(scenario) as around:
            around.bulk.add_jobs([job for job, at in enumerate(scenario.jobs.arrival) if not at])
            world = World(around)
            await world.join()
            async with scheduler(around, "spread"):
                world.begin()
                await world.over.wait()
            await world.end()
            workloads = await around.datastore.workloads(owner_id=None, limit=100)
            workers = await around.datastore.workers()
            return [each.counts for each in workloads], {each.state for each in workers}

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        counted, states = runner.run(counts())
    assert sum(each.done for each in counted) == 60
    assert sum(each.total for each in counted) == 60
    assert states == {WorkerState.ALIVE}


def test_so_many_jobs_wait_all_the_time() -> None:
    """With a number that is pending, others come as they end, until so many are placed."""
    terms = Terms(policy="least_loaded", pending=30, placements=60)
    ended = run(draw(workers=3, jobs=200, seed=1, mtbf=1e12), terms, lambda _: None)
    assert 60 <= ended.placements < 200
    assert ended.done_rows < 60
