"""Placement: which workers can take a job, and which of them gets it.

Feasible, then ranked, then chosen. What makes a worker infeasible is said once, in words, for
choosing and for explaining alike.
"""

from msgspec import Struct

from dpip.model.requirements import GpuUse
from dpip.scheduler.demand import Demand
from dpip.scheduler.node import Node

NO_FREE_SLOT = "has no free slot"

KEPT_FREE = "is kept free for a job that needs much memory"

HAS_FAILED_IT = "has failed this picture, and another worker could do it"

_SOON_SECONDS = 4.0
_MIB = 1024 * 1024


class Outlook(Struct, frozen=True, kw_only=True):
    """What a round of placements goes by, besides jobs and workers.

    ``now`` is the monotonic time. ``ahead``: more jobs wait than there are slots, so that workers
    may fetch ahead. ``past_kept``: machines that are kept free for others count as free.
    """

    now: float
    ahead: bool = True
    past_kept: bool = False


def infeasibility(node: Node, demand: Demand, outlook: Outlook, job_id: str = "") -> str | None:
    """Why ``node`` cannot take a job now, as words that follow its name; ``None`` if it can."""
    return (
        unfitness(node, demand)
        or absence(node, outlook.now)
        or (HAS_FAILED_IT if node.name in demand.failed_by else None)
        or (None if outlook.past_kept or node.machine.kept_for in (None, job_id) else KEPT_FREE)
        or _lack(node, demand)
        or (None if _has_room(node, demand, outlook) else NO_FREE_SLOT)
    )


def unfitness(node: Node, demand: Demand) -> str | None:
    """Why ``node`` could never take such a job, however idle; ``None`` if it could."""
    if missing := demand.tags - node.tags:
        return f"lacks the tag{'s' * (len(missing) > 1)} {', '.join(sorted(missing))}"
    if demand.gpu is GpuUse.REQUIRED and not node.resources.gpus:
        return "has no GPU"
    if node.resources.memory_total < demand.memory:
        return (
            f"has {_mib(node.resources.memory_total)} of memory altogether, and the job is "
            f"predicted to take {_mib(demand.memory)}"
        )
    return None


def absence(node: Node, now: float) -> str | None:
    """Why ``node`` takes no jobs at all for now; ``None`` if it does."""
    if node.quarantined:
        return "is in quarantine"
    if node.draining:
        return "is draining"
    if node.told is not None:
        return f"has been told to {node.told}"
    if node.paused is not None:
        return node.paused
    if node.left_alone_until > now:
        return (
            "did not answer a call or gave a job back, and is left alone for "
            f"{node.left_alone_until - now:.0f} s more"
        )
    return None


def could_take(node: Node, demand: Demand, now: float) -> bool:
    """Whether ``node`` could take such a job once what runs there has ended.

    One that did not answer a call, or gave a job back, counts unless it has done so repeatedly.
    """
    is_back_soon = 0 < node.left_alone_seconds <= _SOON_SECONDS
    return (
        unfitness(node, demand) is None
        and absence(node, node.left_alone_until if is_back_soon else now) is None
        and node.most_memory_free >= demand.memory
        and (demand.gpu is not GpuUse.REQUIRED or _gpu_memory(node) >= demand.gpu_memory)
    )


def penalty(node: Node, demand: Demand) -> int:
    """How much of what the job prefers ``node`` lacks; GPUs are spared for who can use them."""
    missing = len(demand.prefer_tags - node.tags) if demand.prefer_tags else 0
    has_gpu = bool(node.resources.gpus)
    return missing + (has_gpu if demand.gpu is GpuUse.NEVER else not has_gpu)


def _lack(node: Node, demand: Demand) -> str | None:
    if node.memory_free < node.more_memory(demand.memory):
        return (
            f"has {_mib(node.memory_free)} of memory to promise, and the job is predicted to take "
            f"{_mib(demand.memory)}"
        )
    if demand.gpu is GpuUse.REQUIRED and node.gpu_memory_free < demand.gpu_memory:
        return (
            f"has {_mib(node.gpu_memory_free)} of GPU memory free, and the job is predicted to "
            f"take {_mib(demand.gpu_memory)}"
        )
    return None


def _gpu_memory(node: Node) -> int:
    return node.gpu_memory_free + node.machine.gpu_promised


def _has_room(node: Node, demand: Demand, outlook: Outlook) -> bool:
    if demand.express and not node.express_in_hand and not node.left_alone_seconds:
        return True
    return node.has_room(ahead=outlook.ahead)


def _mib(size: int) -> str:
    return f"{max(0, size) // _MIB} MiB"
