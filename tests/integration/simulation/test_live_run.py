"""A simulated fleet over real connections."""

from dpip.simulation.live_run import run_live
from dpip.simulation.scenario import draw


async def test_the_whole_system_serves_it() -> None:
    """Workers join, beat, take jobs and end them, each over a connection of its own."""
    report = await run_live(draw(workers=3, jobs=40, seed=1, mtbf=1e12), listen=0.5)
    assert report.done == report.jobs == 40
    assert report.workers == 3
