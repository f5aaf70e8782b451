"""Scenarios are drawn by their seed."""

from dpip.simulation.scenario import Scenario, draw


def of(drawn: Scenario) -> tuple[object, ...]:
    jobs = drawn.jobs
    return drawn.workers, drawn.users, drawn.workloads, jobs.arrival, jobs.work, jobs.workload


def test_the_same_seed_draws_the_same() -> None:
    """Workers with their futures, users, and every picture."""
    assert of(draw(workers=5, jobs=100, seed=3, mtbf=100)) == of(
        draw(workers=5, jobs=100, seed=3, mtbf=100)
    )
    assert of(draw(workers=5, jobs=100, seed=3, mtbf=100)) != of(
        draw(workers=5, jobs=100, seed=4, mtbf=100)
    )


def test_there_is_what_was_asked_for() -> None:
    """So many workers on machines whose cores are their slots, and so many jobs."""
    drawn = draw(workers=40, jobs=1000, seed=1, mtbf=100)
    assert len(drawn.workers) == 40
    assert len(drawn.jobs) == 1000
    for machine in {worker.machine for worker in drawn.workers}:
        slots = sum(worker.slots for worker in drawn.workers if worker.machine == machine)
        assert slots == machine.cores


def test_single_pictures_come_one_by_one_and_batches_at_once() -> None:
    """Users who send single pictures do so all along."""
    drawn = draw(workers=5, jobs=1000, seed=1, mtbf=100)
    for job, arrival in enumerate(drawn.jobs.arrival):
        assert (arrival > 0) == drawn.users[drawn.owner(job)].is_interactive
