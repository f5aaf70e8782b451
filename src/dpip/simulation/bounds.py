"""What the time to finish everything is compared with."""

import heapq
import random
from collections.abc import Callable
from itertools import count, cycle

from dpip.simulation.scenario import Scenario, WorkerPlan

TERM_SECONDS = 6.0
"""How long a worker is silent before its jobs go to others: the default of DPIP's leases."""

Chooser = Callable[[], int]


def lower_bound(scenario: Scenario) -> float:
    """Seconds in which nobody could have finished everything.

    It is the greatest of two: the time in which all slots of the workers that are there, at their
    speeds, could do all work without a gap, and for each job its arrival and its length on the
    fastest machine.
    """
    fastest = max(worker.machine.speed for worker in scenario.workers)
    jobs = scenario.jobs
    longest = max(
        arrival + work / 1000 / fastest
        for arrival, work in zip(jobs.arrival, jobs.work, strict=True)
    )
    return max(longest, _time_of_all_work(scenario))


def _time_of_all_work(scenario: Scenario) -> float:
    changes = []
    for worker in scenario.workers:
        capacity = worker.slots * worker.machine.speed
        for life in worker.lives:
            changes += [(life.begins, capacity), (life.ends, -capacity)]
    left = sum(scenario.jobs.work) / 1000
    now = capacity = 0.0
    for at, change in sorted(changes):
        if capacity * (at - now) >= left:
            break
        left -= capacity * (at - now)
        now = at
        capacity += change
    return now + left / capacity


def round_robin(scenario: Scenario) -> float:
    """Seconds to finish when each job is bound, as it comes, to the next slot in turn."""
    slots = cycle(_slots(scenario))
    return _bind_early(scenario, lambda: next(slots))


def at_random(scenario: Scenario) -> float:
    """Seconds to finish when each job is bound, as it comes, to a slot drawn at random."""
    chance = random.Random(scenario.seed)  # noqa: S311  # nosec B311 # no secret
    slots = _slots(scenario)
    return _bind_early(scenario, lambda: chance.choice(slots))


def _slots(scenario: Scenario) -> list[int]:
    """The place of its worker, for each slot of all workers."""
    return [place for place, worker in enumerate(scenario.workers) for _ in range(worker.slots)]


def _bind_early(scenario: Scenario, choose: Chooser) -> float:
    """Work off what each worker was given, in order; what one loses is bound anew after a term.

    A choice that falls on a worker that is away is made again.
    """
    queues = [_Queue(worker) for worker in scenario.workers]
    numbers = count()
    due = [(arrival, next(numbers), job) for job, arrival in enumerate(scenario.jobs.arrival)]
    heapq.heapify(due)
    finished = 0.0
    while due:
        now, _, job = heapq.heappop(due)
        queue = next(each for each in iter(lambda: queues[choose()], None) if each.is_there(now))
        ended, is_done = queue.work_on(scenario.jobs.work[job], now)
        if is_done:
            finished = max(finished, ended)
        else:
            heapq.heappush(due, (ended + TERM_SECONDS, next(numbers), job))
    return finished


class _Queue:
    """A worker that does in order what it is given."""

    def __init__(self, worker: WorkerPlan) -> None:
        self._worker = worker
        self._lives = iter(worker.lives)
        self._live_again()

    def is_there(self, now: float) -> bool:
        """Whether the worker lives at ``now``; moments are asked for in their order."""
        while self._life.ends <= now:
            self._live_again()
        return self._life.begins <= now

    def work_on(self, work: float, now: float) -> tuple[float, bool]:
        """When ``work`` ends, and whether it is done then, or lost with its worker."""
        free_at = heapq.heappop(self._free_at)
        ends = max(free_at, now) + work / 1000 / self._worker.machine.speed
        is_done = ends <= self._life.ends
        heapq.heappush(self._free_at, ends if is_done else self._life.ends)
        return min(ends, self._life.ends), is_done

    def _live_again(self) -> None:
        self._life = next(self._lives)
        self._free_at = [self._life.begins] * self._worker.slots
