"""Whether a placement costs the same in a small system and in a large one."""

from msgspec import Struct

from dpip.simulation.scenario import draw
from dpip.simulation.virtual_run import OnProgress, Terms, run

_WORKERS = (10, 100, 1000)
_PENDING = (1_000, 100_000, 1_000_000)
_USUAL_WORKERS, _USUAL_PENDING = 1000, 100_000
_PLACEMENTS = 20_000
_NEVER = 1e12


class Cost(Struct, frozen=True, kw_only=True):
    """What a placement took, in microseconds of CPU, with so many workers and pending jobs."""

    workers: int
    pending: int
    microseconds: float


class Flatness(Struct, frozen=True, kw_only=True):
    """Costs of a placement, and over the first of a row the greatest of the others."""

    by_workers: tuple[Cost, ...]
    by_pending: tuple[Cost, ...]
    workers_ratio: float
    pending_ratio: float


def measure_flatness(seed: int, policy: str, on_progress: OnProgress) -> Flatness:
    """Measure one after the other, in this process."""

    def measure(workers: int, pending: int) -> Cost:
        on_progress(f"{workers} workers, {pending} pending")
        return _cost(workers, pending, seed, policy)

    usual = measure(_USUAL_WORKERS, _USUAL_PENDING)
    by_workers = [
        usual if workers == _USUAL_WORKERS else measure(workers, _USUAL_PENDING)
        for workers in _WORKERS
    ]
    by_pending = [
        usual if pending == _USUAL_PENDING else measure(_USUAL_WORKERS, pending)
        for pending in _PENDING
    ]
    return Flatness(
        by_workers=tuple(by_workers),
        by_pending=tuple(by_pending),
        workers_ratio=_growth(by_workers),
        pending_ratio=_growth(by_pending),
    )


def _cost(workers: int, pending: int, seed: int, policy: str) -> Cost:
    """The cost of placements while ``pending`` jobs wait all the time.

    So that about as many placements are to be made in a second, a small fleet gets small pictures.
    """
    scenario = draw(
        workers=workers,
        jobs=pending + 2 * _PLACEMENTS,
        seed=seed,
        mtbf=_NEVER,
        pixels=workers / _USUAL_WORKERS,
    )
    terms = Terms(policy=policy, pending=pending, placements=_PLACEMENTS)
    finished = run(scenario, terms, lambda _: None)
    microseconds = 1e6 * finished.scheduler_cpu_seconds / finished.placements
    return Cost(workers=workers, pending=pending, microseconds=microseconds)


def _growth(costs: list[Cost]) -> float:
    return max(cost.microseconds for cost in costs[1:]) / costs[0].microseconds
