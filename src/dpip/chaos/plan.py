"""Which faults happen when: a plan that its seed replays."""

import random
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from dpip.errors import InvalidValue


class Target(StrEnum):
    """What a fault hits."""

    WORKER = "worker"
    SCHEDULER = "scheduler"
    CONTROLLER = "controller"
    API = "api"
    NATS = "nats"
    NETWORK = "network"


class Kind(StrEnum):
    """What a fault does: SIGKILL, SIGSTOP for a while, or a partition in one or both directions."""

    KILL = "kill"
    FREEZE = "freeze"
    CUT = "cut"
    CUT_TO_SERVERS = "cut_to_servers"
    CUT_TO_WORKER = "cut_to_worker"


class Fault(Struct, frozen=True, kw_only=True):
    """One fault, due as soon as ``after`` jobs have settled.

    ``worker`` is the number of the worker that is hit, or cut off. ``seconds`` is how long it
    lasts: until a killed process is started again, a frozen one thawed, a partition healed.
    """

    after: int
    target: Target
    kind: Kind
    worker: int
    seconds: float


_SHARES = dict.fromkeys(Target, 1) | {Target.WORKER: 10}
_ONE_WORKER_FAULT_IN = 4
"""Of the faults of workers every fourth is a freeze, the others are kills."""
_TOGETHER = 0.1
"""Share of the faults that come at the same moment as the one before."""
_LATEST = 0.95
_DOWN_SECONDS = (0.0, 1.5)
_CUT_SECONDS = (1.0, 15.0)
_FREEZE_TERMS = (2.0, 3.0)
"""A worker is frozen for so much longer than its leases last that others have its jobs by then."""
_CUTS = (Kind.CUT, Kind.CUT_TO_SERVERS, Kind.CUT_TO_WORKER)


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read targets such as ``worker,api``. Raises ``InvalidValue``."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in list(Target):
            allowed = f"targets are {', '.join(Target)}, separated by commas"
            raise InvalidValue(field="--kill", value=name, allowed=allowed)
    return tuple(target for target in Target if target in names)


def plan_faults(
    *, jobs: int, seed: int, targets: Sequence[Target], rate: float, workers: int, term: float
) -> tuple[Fault, ...]:
    """Return ``rate`` faults for every hundred of ``jobs``, in the order in which they are due.

    Workers get ten times the share of any other target. Moments are counted in settled jobs, so
    that the plan is the same on a fast and on a slow machine. ``term`` is the seconds of a lease.
    """
    chance = random.Random(seed)  # noqa: S311  # nosec B311 # a plan that can be made again
    hit = _targets_of(round(jobs * rate / 100), targets)
    chance.shuffle(hit)
    moments = sorted(chance.randint(0, int(jobs * _LATEST)) for _ in hit)
    for index in range(1, len(moments)):
        if chance.random() < _TOGETHER:
            moments[index] = moments[index - 1]
    seen = dict.fromkeys(Target, 0)
    faults = []
    for moment, target in zip(moments, hit, strict=True):
        kind = _kind_of(target, seen[target])
        seen[target] += 1
        faults.append(
            Fault(
                after=moment,
                target=target,
                kind=kind,
                worker=chance.randrange(workers),
                seconds=round(_seconds_of(kind, term, chance), 2),
            )
        )
    return tuple(faults)


def _targets_of(count: int, targets: Sequence[Target]) -> list[Target]:
    """Share ``count`` faults out, whole numbers as near to the shares as they can be."""
    total = sum(_SHARES[target] for target in targets)
    shared = {target: count * _SHARES[target] // total for target in targets}
    by_remainder = sorted(targets, key=lambda target: -(count * _SHARES[target] % total))
    for target in by_remainder[: count - sum(shared.values())]:
        shared[target] += 1
    return [target for target in targets for _ in range(shared[target])]


def _kind_of(target: Target, number: int) -> Kind:
    match target:
        case Target.NETWORK:
            return _CUTS[number % len(_CUTS)]
        case Target.WORKER if number % _ONE_WORKER_FAULT_IN == 0:
            return Kind.FREEZE
    return Kind.KILL


def _seconds_of(kind: Kind, term: float, chance: random.Random) -> float:
    match kind:
        case Kind.KILL:
            return chance.uniform(*_DOWN_SECONDS)
        case Kind.FREEZE:
            return term * chance.uniform(*_FREEZE_TERMS)
    return chance.uniform(*_CUT_SECONDS)
