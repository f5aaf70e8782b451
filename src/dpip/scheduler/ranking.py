"""The workers that may have room, best first, without looking at each for each job."""

import heapq
from collections.abc import Callable, Collection
from itertools import count

from dpip.scheduler.node import Node
from dpip.scheduler.policies import Policy, Rank

Profile = tuple[frozenset[str], bool]
"""Tags, and whether there is a GPU."""

_Entry = tuple[bool, Rank, int, Node]


def profile_of(node: Node) -> Profile:
    """What heap ``node`` belongs to."""
    return node.tags, bool(node.resources.gpus)


class Ranking:
    """Heaps of workers, one for each profile: workers that carry the same tags, and a GPU or none.

    A worker that changes is put in again; its older entries are passed over when they come up. So
    a change costs a logarithm of the number of workers, and so does a choice.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heaps: dict[Profile, list[_Entry]] = {}
        self._latest: dict[str, int] = {}
        self._numbers = count()

    def put(self, node: Node) -> None:
        """Rank ``node`` as it is now."""
        number = self._latest[node.name] = next(self._numbers)
        heap = self._heaps.setdefault(profile_of(node), [])
        heapq.heappush(heap, (not node.has_idle_slot, self._policy(node), number, node))
        if len(heap) > 64 + 4 * len(self._latest):
            heap[:] = [entry for entry in heap if self._is_latest(entry)]
            heapq.heapify(heap)

    def drop(self, node: Node) -> None:
        """Take ``node`` out, until it is put in again."""
        self._latest.pop(node.name, None)

    def __len__(self) -> int:
        return len(self._latest)

    @property
    def profiles(self) -> Collection[Profile]:
        """Those of workers that may have room."""
        return self._heaps.keys()

    def best(
        self, fits: Callable[[Node], bool], penalty: Callable[[Node], int], *, idle_only: bool
    ) -> tuple[Node | None, Node | None]:
        """The first worker that ``fits``, and the one that would be the next, where that is known.

        A worker with an idle slot comes first, then one of less ``penalty``, which is the same for
        all of a profile, then one of lower rank. ``idle_only``: without an idle slot, none fits.
        """
        best: tuple[tuple[bool, int, Rank, int], Node, list[_Entry]] | None = None
        for profile, heap in list(self._heaps.items()):
            entry = self._first_that_fits(heap, fits, idle_only)
            if not heap:  # Workers of this profile are no more, or none has room.
                del self._heaps[profile]
            if entry is None:
                continue
            busy, rank, number, node = entry
            key = (busy, penalty(node), rank, number)
            if best is None or key < best[0]:
                best = key, node, heap
        if best is None:
            return None, None
        _, node, heap = best
        # Of what lies below the top of a heap, one of these two is the first.
        second = min(heap[1:3], key=lambda entry: entry[:3], default=None)
        known = second is not None and self._is_latest(second) and fits(second[3])
        return node, second[3] if second and known else None

    def _first_that_fits(
        self, heap: list[_Entry], fits: Callable[[Node], bool], idle_only: bool
    ) -> _Entry | None:
        aside: list[_Entry] = []
        try:
            while heap:
                entry = heap[0]
                if not self._is_latest(entry):
                    heapq.heappop(heap)
                elif idle_only and entry[0]:
                    return None
                elif fits(entry[3]):
                    return entry
                else:
                    aside.append(heapq.heappop(heap))
            return None
        finally:
            for entry in aside:
                heapq.heappush(heap, entry)

    def _is_latest(self, entry: _Entry) -> bool:
        return self._latest.get(entry[3].name) == entry[2]
