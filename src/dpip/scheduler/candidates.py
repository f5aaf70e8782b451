"""The workers that a job may go to, and which of them it goes to."""

from collections import Counter, deque
from collections.abc import Callable

from msgspec import structs

from dpip.model.requirements import GpuUse
from dpip.scheduler.assumptions import PROCESS_BYTES
from dpip.scheduler.demand import Demand
from dpip.scheduler.node import Node
from dpip.scheduler.placement import (
    NO_FREE_SLOT,
    Outlook,
    could_take,
    infeasibility,
    penalty,
)
from dpip.scheduler.policies import Policy
from dpip.scheduler.ranking import Profile, Ranking, profile_of

_LOOKED_AT = 64
"""Workers that are compared for an express job: the best of a few is nearly the best of all
(Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001)."""


class Candidates:
    """All workers of a fleet, those that may have room ranked by a policy.

    It is told of each change of a worker: of what it is, of what it has in hand, of its machine.
    """

    def __init__(self, policy: Policy) -> None:
        self._ranking = Ranking(policy)
        self._nodes: dict[str, Node] = {}
        self._in_turn: deque[str] = deque()
        self._profile_of: dict[str, Profile] = {}
        self._profiles: Counter[Profile] = Counter()
        self._horizon = 0.0

    @property
    def with_room(self) -> int:
        """How many workers may have room for one more job."""
        return len(self._ranking)

    def add(self, node: Node) -> None:
        """There is one more worker."""
        self._nodes[node.name] = node
        self._in_turn.append(node.name)

    def remove(self, node: Node) -> None:
        """There is one less."""
        self._ranking.drop(node)
        self._in_turn.remove(node.name)
        self._leave_profile(node)
        del self._nodes[node.name]

    def changed(self, node: Node) -> None:
        """A worker is not what it was; others of its machine may have memory that they lacked."""
        profile = profile_of(node)
        if self._profile_of.get(node.name) != profile:
            self._leave_profile(node)
            self._profile_of[node.name] = profile
            self._profiles[profile] += 1
        self._rank(node)
        for name in node.machine.short - {node.name}:
            self._rank(self._nodes[name])

    def look_ahead(self, horizon: float) -> None:
        """Have batches of small jobs last for ``horizon`` milliseconds from now on."""
        grown = horizon > 1.5 * self._horizon
        self._horizon = horizon
        if grown:
            for node in self._nodes.values():
                self._rank(node)

    def may_take(self, tags: frozenset[str], gpu: GpuUse, *, express: bool) -> bool:
        """Whether a worker has ``tags``, and a GPU where that is required, and may have room.

        For an express job it needs none.
        """
        profiles = self._profiles if express else self._ranking.profiles
        return any(
            tags <= carried and (has_gpu or gpu is not GpuUse.REQUIRED)
            for carried, has_gpu in profiles
        )

    def relent(self, demand: Demand, now: float) -> Demand:
        """``demand``; open to the workers that have failed its job if no other could ever take it.

        A worker that is busy is worth waiting for, one that takes no jobs at all is not.
        """
        if not demand.failed_by or any(
            node.name not in demand.failed_by and could_take(node, demand, now)
            for node in self._nodes.values()
        ):
            return demand
        return structs.replace(demand, failed_by=frozenset())

    def choose(
        self, demand: Demand, outlook: Outlook, job_id: str, *, besides: str | None = None
    ) -> tuple[Node | None, Node | None]:
        """The worker for a job, and the one that would be the next; ``None`` if none fits now.

        The worker ``besides`` has the job already.
        """

        def fits(node: Node) -> bool:
            return node.name != besides and infeasibility(node, demand, outlook, job_id) is None

        best, second = self._ranking.best(
            fits, lambda node: penalty(node, demand), idle_only=not outlook.ahead
        )
        if demand.express and (best is None or not best.has_idle_slot):
            return self._soonest_free(fits, outlook.now), None
        return best, second

    def free_soonest_for(self, demand: Demand, outlook: Outlook) -> Node | None:
        """The worker whose machine lacks least of the memory that a job lacks everywhere now.

        Only of those that will have it when what runs there has ended.
        """
        modest = structs.replace(demand, memory=0, gpu_memory=0)
        candidates = [
            node
            for node in self._nodes.values()
            if node.machine.kept_for is None
            and infeasibility(node, modest, outlook) in (None, NO_FREE_SLOT)
            and node.most_memory_free >= demand.memory
        ]
        return max(candidates, key=lambda node: node.memory_free, default=None)

    def _soonest_free(self, fits: Callable[[Node], bool], now: float) -> Node | None:
        best: Node | None = None
        for _ in range(min(_LOOKED_AT, len(self._in_turn))):
            node = self._nodes[self._in_turn[0]]
            self._in_turn.rotate(-1)
            if fits(node) and (best is None or node.wait(now) < best.wait(now)):
                best = node
        return best

    def _rank(self, node: Node) -> None:
        node.fill(self._horizon)
        has_room = node.has_room(ahead=True)
        is_short = has_room and node.memory_free < node.more_memory(int(PROCESS_BYTES))
        if is_short:
            node.machine.short.add(node.name)
        else:
            node.machine.short.discard(node.name)
        if has_room and not is_short:
            self._ranking.put(node)
        else:
            self._ranking.drop(node)

    def _leave_profile(self, node: Node) -> None:
        profile = self._profile_of.pop(node.name, None)
        if profile is not None:
            self._profiles[profile] -= 1
            if not self._profiles[profile]:
                del self._profiles[profile]
