"""Policies: which of the workers that can take a job is to get it.

A policy is a pure function from a worker to its rank; the lowest rank goes first. A worker with an
idle slot comes before one that could only fetch ahead, and one with more of the preferred tags
before one with fewer, whatever the policy. A package adds one of its own by an entry point of the
group ``dpip.policies``, whose name is what ``scheduler.policy`` is set to.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from dpip.errors import BadSetting
from dpip.scheduler.node import Node

Rank = tuple[float, ...]
Policy = Callable[[Node], Rank]

_ENTRY_POINTS = "dpip.policies"
_MEMORY_WEIGHT = 0.5
_GPU_WEIGHT = 0.25


def least_loaded(node: Node) -> Rank:
    """The one that will be done first with what it has; of those, the quickest and idlest."""
    return node.milliseconds / node.slots, node.pace * (1 + load(node))


def bin_pack(node: Node) -> Rank:
    """The busiest machine, so that others run empty and can be freed."""
    machine = node.machine
    return -machine.jobs, machine.slots - machine.jobs, node.memory_free


def spread(node: Node) -> Rank:
    """The machine with the fewest jobs for its slots, so that the loss of one costs least."""
    machine = node.machine
    return machine.jobs / machine.slots, len(node.in_hand) / node.slots


def load(node: Node) -> float:
    """How busy CPU, memory and GPUs of ``node`` are; 0 for one that is idle."""
    resources = node.resources
    memory_used = 1 - resources.memory_available / max(1, resources.memory_total)
    gpu = max((gpu.utilisation for gpu in resources.gpus), default=0.0)
    return resources.cpu + _MEMORY_WEIGHT * memory_used + _GPU_WEIGHT * gpu


BUILT_IN: dict[str, Policy] = {
    "least_loaded": least_loaded,
    "bin_pack": bin_pack,
    "spread": spread,
}


def policy_named(name: str) -> Policy:
    """The policy called ``name``. Raises ``BadSetting`` where there is none."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    others = entry_points(group=_ENTRY_POINTS)
    for entry in others:
        if entry.name == name:
            try:
                policy: Policy = entry.load()
            except Exception as error:
                raise _refusal(name, f"its package cannot be loaded: {error!r}") from error
            return policy
    known = ", ".join([*BUILT_IN, *sorted(entry.name for entry in others)])
    raise _refusal(name, f"it is one of {known}, or the name of an entry point of {_ENTRY_POINTS}")


def _refusal(name: str, allowed: str) -> BadSetting:
    return BadSetting(setting="scheduler.policy", source="settings", value=name, allowed=allowed)
