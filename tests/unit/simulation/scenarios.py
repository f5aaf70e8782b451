"""Scenarios that are small enough to be worked out by hand."""

from dpip.simulation.scenario import (
    GRAYSCALE,
    PHOTOGRAPHS,
    Jobs,
    Life,
    Machine,
    Scenario,
    UserPlan,
    WorkerPlan,
    WorkloadPlan,
)

ALWAYS = (Life(0.0, 1e9),)


def worker(
    name: str, *, speed: float = 1.0, slots: int = 1, lives: tuple[Life, ...] = ALWAYS
) -> WorkerPlan:
    machine = Machine(
        name=name, processor="Common", speed=speed, cores=slots, memory=slots * 1024**3
    )
    return WorkerPlan(name=name, machine=machine, slots=slots, lives=lives)


def scenario(*workers: WorkerPlan, seconds: list[float]) -> Scenario:
    """One user's jobs that take so many seconds on a core of speed 1."""
    jobs = Jobs()
    for each in seconds:
        jobs.add(workload=0, width=100, height=100, work=1000 * each, memory=1024**2)
    return Scenario(
        seed=1,
        workers=workers,
        users=(UserPlan(id="b0", weight=1, is_interactive=False),),
        workloads=(WorkloadPlan(id="0" * 26, owner=0, kind=PHOTOGRAPHS, pipeline=GRAYSCALE),),
        jobs=jobs,
    )
