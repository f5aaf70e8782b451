"""Fair queueing: whose turn it is, of several that share by weight."""

import heapq
from typing import Generic, TypeVar

K = TypeVar("K")


class FairQueue(Generic[K]):
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996).

    Each flow has a start tag, in cost for its weight, which grows with what it gets; the least goes
    first. The queue's own time is the start tag of who went last: a flow that comes, or comes back,
    begins there, so that it neither waits for what others got before nor makes up for its absence.
    """

    def __init__(self) -> None:
        self._weights: dict[K, int] = {}
        self._starts: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._passed_over: list[tuple[float, int, K]] = []
        self._time = 0.0
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._weights)

    def put(self, flow: K, weight: int) -> None:
        """Have ``flow`` take part, from now on with ``weight``."""
        if flow not in self._weights:
            start = max(self._time, self._starts.get(flow, 0.0))
            self._push(flow, start)
        self._weights[flow] = weight

    def remove(self, flow: K) -> None:
        """Have ``flow`` take part no longer; what it was ahead by is remembered."""
        self._weights.pop(flow, None)
        if len(self._starts) > 64 + 2 * len(self._weights):
            self._starts = {
                known: start
                for known, start in self._starts.items()
                if known in self._weights or start > self._time
            }

    def first(self) -> K | None:
        """The flow whose turn it is, of those not passed over."""
        while self._heap:
            start, _, flow = self._heap[0]
            if flow in self._weights and self._starts[flow] == start:
                return flow
            heapq.heappop(self._heap)
        return None

    def pass_over(self) -> None:
        """Let the next flow have the turn of the first one, until ``resume``."""
        self._passed_over.append(heapq.heappop(self._heap))

    def resume(self) -> None:
        """Let those passed over have their turns again."""
        for entry in self._passed_over:
            heapq.heappush(self._heap, entry)
        self._passed_over.clear()

    def is_due(self, flow: K) -> bool:
        """Whether ``flow`` has got no more than its share."""
        return flow in self._weights and self._starts[flow] <= self._time

    def charge(self, flow: K, cost: float) -> None:
        """``flow`` got ``cost``."""
        start = self._starts[flow]
        self._time = max(self._time, start)
        self._push(flow, start + cost / self._weights[flow])

    def _push(self, flow: K, start: float) -> None:
        self._starts[flow] = start
        self._arrivals += 1
        heapq.heappush(self._heap, (start, self._arrivals, flow))
