"""What a run comes to in figures."""

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from dpip.simulation.bounds import at_random, lower_bound, round_robin
from dpip.simulation.scenario import Scenario
from dpip.simulation.virtual_run import Finished
from dpip.simulation.world import World

_WINDOWS = 50


class Report(Struct, frozen=True, kw_only=True):
    """Times are in virtual seconds, except for those of CPUs; memory is in bytes.

    ``makespan_ratio`` is the time from the first arrival to the last result, over the least in
    which it could have been done; ``round_robin_ratio`` and ``random_ratio`` are the same of the
    same jobs on the same workers, bound as they come. ``most_memory_of_a_machine`` is the greatest
    share of its memory that the jobs on one occupied. ``heartbeats_share_of_a_core`` is what
    controller and scheduler take for as many workers that beat once a second, history included.
    ``fairness`` is Jain's index of what users with a backlog got for their weight, 1 at best.

    Waits are from a job's arrival to the start of the attempt that brought its result; interactive
    ones those of users who send single pictures, in ``…_of_a_job`` over the mean length of a job.
    """

    seed: int
    policy: str
    workers: int
    slots: int
    jobs: int
    placements: int
    events: int
    deaths: int
    lost_attempts: int
    late_results: int
    failed_jobs: int
    placements_per_second: float
    cpu_microseconds_per_placement: float
    scheduler_cpu_seconds: float
    simulation_cpu_seconds: float
    memory_before: int
    peak_memory: int
    most_memory_of_a_machine: float
    makespan: float
    lower_bound: float
    makespan_ratio: float
    round_robin_ratio: float
    random_ratio: float
    placements_needed_per_second: float
    heartbeats_share_of_a_core: float
    fairness: float
    job_length_mean: float
    wait_p50: float
    wait_p90: float
    wait_p99: float
    interactive_wait_p50: float
    interactive_wait_p90: float
    interactive_wait_p99: float
    interactive_wait_max: float
    interactive_wait_p99_of_a_job: float
    interactive_wait_max_of_a_job: float


def report(scenario: Scenario, policy: str, finished: Finished, heartbeats: float) -> Report:
    """Work the figures of a run out."""
    world, cpu = finished.world, finished.scheduler_cpu_seconds
    at_least, makespan = lower_bound(scenario), max(world.ended)
    batch, interactive = _waits(scenario, world)
    length = _mean_length(world)
    return Report(
        seed=scenario.seed,
        policy=policy,
        workers=len(scenario.workers),
        slots=sum(worker.slots for worker in scenario.workers),
        jobs=len(scenario.jobs),
        placements=finished.placements,
        events=finished.events,
        deaths=world.deaths,
        lost_attempts=world.lost_attempts,
        late_results=world.late_results,
        failed_jobs=world.failed,
        placements_per_second=finished.placements / cpu,
        cpu_microseconds_per_placement=1e6 * cpu / finished.placements,
        scheduler_cpu_seconds=cpu,
        simulation_cpu_seconds=finished.world_cpu_seconds,
        memory_before=finished.memory_before,
        peak_memory=finished.peak_memory,
        most_memory_of_a_machine=_most_memory(scenario, world),
        makespan=makespan,
        lower_bound=at_least,
        makespan_ratio=makespan / at_least,
        round_robin_ratio=round_robin(scenario) / at_least,
        random_ratio=at_random(scenario) / at_least,
        placements_needed_per_second=finished.placements / makespan,
        heartbeats_share_of_a_core=heartbeats,
        fairness=fairness(scenario, world),
        job_length_mean=length,
        wait_p50=percentile(batch, 50),
        wait_p90=percentile(batch, 90),
        wait_p99=percentile(batch, 99),
        interactive_wait_p50=percentile(interactive, 50),
        interactive_wait_p90=percentile(interactive, 90),
        interactive_wait_p99=percentile(interactive, 99),
        interactive_wait_max=percentile(interactive, 100),
        interactive_wait_p99_of_a_job=percentile(interactive, 99) / length,
        interactive_wait_max_of_a_job=percentile(interactive, 100) / length,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least of ``ordered`` that ``percent`` of them do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-int(percent * len(ordered)) // 100) - 1)]


def jain(shares: Sequence[float]) -> float:
    """Jain's index: 1 if all shares are equal, 1 / n if one has everything."""
    squares = len(shares) * sum(share * share for share in shares)
    return sum(shares) ** 2 / squares if squares else 1.0


def fairness(scenario: Scenario, world: World) -> float:
    """Jain's index of weighted service in windows of time, on average.

    A window counts the users with a backlog in all of it, and counts if there are two. A backlog is
    more jobs that have not begun than there are slots.
    """
    jobs, users = scenario.jobs, scenario.users
    seconds = max(world.ended) / _WINDOWS
    starts: dict[int, list[float]] = defaultdict(list)
    service: dict[tuple[int, int], float] = defaultdict(float)
    for job in range(len(jobs)):
        owner = scenario.owner(job)
        if not users[owner].is_interactive:
            starts[owner].append(world.started[job])
            service[int(world.ended[job] / seconds), owner] += jobs.work[job]
    slots = sum(worker.slots for worker in scenario.workers)
    backlog_until = {
        owner: sorted(times)[-slots] for owner, times in starts.items() if len(times) > slots
    }
    indices = []
    # In the first window nothing has had time to end.
    for window in range(1, _WINDOWS):
        competing = [
            owner for owner, until in backlog_until.items() if until >= (window + 1) * seconds
        ]
        if len(competing) > 1:
            shares = [service[window, owner] / users[owner].weight for owner in competing]
            indices.append(jain(shares))
    return sum(indices) / len(indices) if indices else 1.0


def _waits(scenario: Scenario, world: World) -> tuple[list[float], list[float]]:
    """The waits of batch users and of interactive ones, each in order."""
    waits: tuple[list[float], list[float]] = ([], [])
    for job, (arrival, started) in enumerate(
        zip(scenario.jobs.arrival, world.started, strict=True)
    ):
        waits[scenario.users[scenario.owner(job)].is_interactive].append(started - arrival)
    return sorted(waits[0]), sorted(waits[1])


def _mean_length(world: World) -> float:
    return (sum(world.ended) - sum(world.started)) / len(world.ended)


def _most_memory(scenario: Scenario, world: World) -> float:
    machines = {worker.machine for worker in scenario.workers}
    return max(world.occupancies[each.name].most_memory / each.memory for each in machines)
