"""Placement, a pure function: feasible, then ranked, then chosen."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from dpip.model.job import PendingJob
from dpip.scheduler.fleet import Node

_CPU_WEIGHT = 1.0
_MEMORY_WEIGHT = 0.5
_GPU_WEIGHT = 0.25


class Demand(Struct, frozen=True, kw_only=True):
    """What a job asks of a node: tags it has to carry, bytes of memory it has to have free."""

    tags: frozenset[str] = frozenset()
    memory: int = 0


EVERY_JOB = Demand(memory=128 * 1024 * 1024)
"""What any picture takes, and some to spare: streamed through, a frame of video takes 50 MiB."""


class Placement(Struct, frozen=True, kw_only=True):
    """A job and the worker that it goes to."""

    job: PendingJob
    worker: str


def infeasibility(node: Node, demand: Demand, promised: int = 0) -> str | None:
    """Why ``node`` cannot take a job now, as words that follow its name; ``None`` if it can.

    ``promised`` is the number of jobs that it is to get besides those it has in hand.
    """
    if node.draining:
        return "is draining"
    if node.room <= promised:
        return "has no free slot"
    if missing := demand.tags - node.tags:
        return f"lacks the tags {', '.join(sorted(missing))}"
    if node.resources.memory_available < demand.memory * (promised + 1):
        return "has too little memory free"
    return None


def rank(node: Node, promised: int = 0) -> tuple[bool, float]:
    """How loaded ``node`` is; the least comes first.

    A node with an idle slot comes before one that could only fetch ahead. Then the jobs in hand
    weigh, as a share of the slots, and with them how busy its CPU, its memory and its GPUs are.
    """
    in_hand = len(node.in_hand) + promised
    resources = node.resources
    memory_used = 1 - resources.memory_available / max(1, resources.memory_total)
    gpu = max((gpu.utilisation for gpu in resources.gpus), default=0.0)
    load = (
        in_hand / node.slots
        + _CPU_WEIGHT * resources.cpu
        + _MEMORY_WEIGHT * memory_used
        + _GPU_WEIGHT * gpu
    )
    return in_hand >= node.slots, load


def place(
    jobs: Iterable[PendingJob], nodes: Sequence[Node], demand: Demand = EVERY_JOB
) -> list[Placement]:
    """Choose a worker for as many of ``jobs`` as find one, in the order of the jobs.

    Late binding: what does not fit anywhere now is left out, and stays pending.
    """
    promised = dict.fromkeys((node.name for node in nodes), 0)
    placements = []
    for job in jobs:
        feasible = [
            node for node in nodes if infeasibility(node, demand, promised[node.name]) is None
        ]
        if not feasible:
            break
        chosen = min(feasible, key=lambda node: rank(node, promised[node.name]))
        promised[chosen.name] += 1
        placements.append(Placement(job=job, worker=chosen.name))
    return placements
