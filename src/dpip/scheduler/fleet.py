"""What the scheduler knows of the workers, from their heartbeats and its own calls."""

import random
from collections.abc import Iterable

from msgspec import Struct

from dpip.model.job import Lease
from dpip.model.worker import Resources
from dpip.wire.messages import Heartbeat
from dpip.wire.subjects import Speaker

_LONGEST_PAUSE_SECONDS = 30.0


class Node(Struct, kw_only=True):
    """A worker as placement sees it.

    ``in_hand`` are the attempts placed on it and not known to have ended; ``heard_at`` is the
    monotonic time of its last heartbeat. One that did not answer a call, or has given its last job
    back (``returned``), is left alone until ``paused_until``; ``pause_seconds`` is how long that
    was, 0 once it has answered or, after a return, has brought a job to its end.
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
    pause_seconds: float = 0.0
    paused_until: float = 0.0
    returned: bool = False

    @property
    def room(self) -> int:
        """How many more jobs it takes now; one that was left alone is tried with one."""
        room = self.slots + self.prefetch - len(self.in_hand)
        return min(room, 1 - len(self.in_hand)) if self.pause_seconds else room

    @property
    def speaker(self) -> Speaker:
        """The process that it is."""
        return Speaker(self.name, self.instance)


class Fleet:
    """All workers that have been heard of lately."""

    def __init__(self, *, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._nodes: dict[str, Node] = {}
        self._quarantined: set[str] = set()

    def reachable(self, now: float) -> list[Node]:
        """The workers heard within the last ``silence_seconds``; the others are forgotten.

        Those in quarantine are left out, and those that are left alone.
        """
        for node in list(self._nodes.values()):
            if now - node.heard_at > self._silence_seconds:
                del self._nodes[node.name]
        return [
            node
            for node in self._nodes.values()
            if node.name not in self._quarantined and node.paused_until <= now
        ]

    def node(self, name: str) -> Node | None:
        """The worker of that name."""
        return self._nodes.get(name)

    def heard(self, name: str, instance: str, beat: Heartbeat, now: float) -> None:
        """Take in what a process of worker ``name`` says of itself."""
        node = Node(
            name=name,
            instance=instance,
            tags=frozenset(beat.tags),
            slots=beat.slots,
            prefetch=beat.prefetch,
            draining=beat.draining,
            resources=beat.resources,
            heard_at=now,
            # What a process says it holds is all that is known of one not heard of before.
            in_hand=_in_hand(name, beat),
        )
        known = self._nodes.get(name)
        if known and known.instance == instance:
            node.in_hand = known.in_hand
            node.pause_seconds, node.paused_until = known.pause_seconds, known.paused_until
            node.returned = known.returned
        self._nodes[name] = node

    def processes(self) -> set[Speaker]:
        """All of them."""
        return {node.speaker for node in self._nodes.values()}

    def has(self, process: Speaker) -> bool:
        """Whether it is this process that is known under its name."""
        node = self._nodes.get(process.worker)
        return node is not None and node.instance == process.instance

    def answered(self, process: Speaker) -> None:
        """A worker has answered a call; that does not tell that it can do a job."""
        if self.has(process) and not self._nodes[process.worker].returned:
            self._trust(self._nodes[process.worker])

    def finished(self, process: Speaker) -> None:
        """A worker has brought a job to its end, whichever."""
        if self.has(process):
            self._trust(self._nodes[process.worker])

    def unanswered(self, process: Speaker, now: float) -> None:
        """A worker has said nothing to a call: leave it alone, each time twice as long.

        It may be heard and not hear, where a network fails one way.
        """
        if self.has(process):
            self._pause(self._nodes[process.worker], now)

    def returned(self, process: Speaker, now: float) -> None:
        """A worker has given a job back: leave it alone, each time twice as long.

        It may take jobs and be able to do none. Idle, it would be the first to get the next.
        """
        if self.has(process):
            self._nodes[process.worker].returned = True
            self._pause(self._nodes[process.worker], now)

    def placed(self, lease: Lease) -> None:
        """Count ``lease`` as in its worker's hand."""
        if node := self._nodes.get(lease.worker):
            node.in_hand.add(lease)

    def ended(self, lease: Lease) -> None:
        """Count ``lease`` as over."""
        if node := self._nodes.get(lease.worker):
            node.in_hand.discard(lease)

    def gone(self, process: Speaker) -> None:
        """Forget a worker, unless another process of it has been heard since."""
        if self.has(process):
            del self._nodes[process.worker]

    def quarantine(self, names: set[str]) -> None:
        """Leave these workers, and no others, out of ``reachable``."""
        self._quarantined = names

    def align(self, leases: Iterable[Lease]) -> None:
        """Make what is in hand equal to the leases that are out, as the datastore knows them."""
        for node in self._nodes.values():
            node.in_hand.clear()
        for lease in leases:
            self.placed(lease)

    def _trust(self, node: Node) -> None:
        node.pause_seconds = node.paused_until = 0.0
        node.returned = False

    def _pause(self, node: Node, now: float) -> None:
        if node.paused_until > now:  # What happens in one round counts once.
            return
        node.pause_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * node.pause_seconds or 1.0)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311  # nosec B311 # no secret
        node.paused_until = now + node.pause_seconds * jitter


def _in_hand(worker: str, beat: Heartbeat) -> set[Lease]:
    return {
        Lease(job_id=attempt.job_id, attempt=attempt.attempt, worker=worker)
        for attempt in beat.running
    }
