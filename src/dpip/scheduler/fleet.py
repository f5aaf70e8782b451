"""What the scheduler knows of the workers, from their heartbeats and its own placements."""

from collections.abc import Iterable

from msgspec import Struct

from dpip.model.job import Lease
from dpip.model.worker import Resources
from dpip.wire.messages import Heartbeat


class Node(Struct, kw_only=True):
    """A worker as placement sees it.

    ``in_hand`` are the attempts placed on it and not known to have ended; ``heard_at`` is the
    monotonic time of its last heartbeat.
    """

    name: str
    instance: str
    tags: frozenset[str]
    slots: int
    prefetch: int
    draining: bool
    resources: Resources
    heard_at: float
    in_hand: set[Lease]

    @property
    def room(self) -> int:
        """How many more jobs it takes now."""
        return self.slots + self.prefetch - len(self.in_hand)

    @property
    def idle_slots(self) -> int:
        """How many of its slots have nothing to do."""
        return max(0, self.slots - len(self.in_hand))


class Fleet:
    """All workers that have been heard of lately."""

    def __init__(self, *, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._nodes: dict[str, Node] = {}
        self._quarantined: set[str] = set()

    def alive(self, now: float) -> list[Node]:
        """The workers heard within the last ``silence_seconds``; the others are forgotten.

        Those in quarantine are left out.
        """
        for node in list(self._nodes.values()):
            if now - node.heard_at > self._silence_seconds:
                del self._nodes[node.name]
        return [node for node in self._nodes.values() if node.name not in self._quarantined]

    def node(self, name: str) -> Node | None:
        """The worker of that name."""
        return self._nodes.get(name)

    def heard(self, name: str, beat: Heartbeat, now: float) -> None:
        """Take in what worker ``name`` says of itself."""
        known = self._nodes.get(name)
        same_process = known is not None and known.instance == beat.instance
        self._nodes[name] = Node(
            name=name,
            instance=beat.instance,
            tags=frozenset(beat.tags),
            slots=beat.slots,
            prefetch=beat.prefetch,
            draining=beat.draining,
            resources=beat.resources,
            heard_at=now,
            # What a process says it holds is all that is known of one not heard of before.
            in_hand=known.in_hand if known and same_process else _in_hand(name, beat),
        )

    def placed(self, lease: Lease) -> None:
        """Count ``lease`` as in its worker's hand."""
        if node := self._nodes.get(lease.worker):
            node.in_hand.add(lease)

    def ended(self, lease: Lease) -> None:
        """Count ``lease`` as over."""
        if node := self._nodes.get(lease.worker):
            node.in_hand.discard(lease)

    def gone(self, name: str) -> None:
        """Forget a worker."""
        self._nodes.pop(name, None)

    def quarantine(self, names: set[str]) -> None:
        """Leave these workers, and no others, out of ``alive``."""
        self._quarantined = names

    def align(self, leases: Iterable[Lease]) -> None:
        """Make what is in hand equal to the leases that are out, as the datastore knows them."""
        for node in self._nodes.values():
            node.in_hand.clear()
        for lease in leases:
            self.placed(lease)


def _in_hand(worker: str, beat: Heartbeat) -> set[Lease]:
    return {
        Lease(job_id=attempt.job_id, attempt=attempt.attempt, worker=worker)
        for attempt in beat.running
    }
