"""So many events a minute, and no more."""

import math
from collections import OrderedDict, deque

from dpip.ports.clock import Clock

_MINUTE = 60.0
_MOST_KEYS = 10_000


class RateLimit:
    """At most ``limit`` events of each key in any minute, counted in memory.

    Beyond so many keys the one that was used least recently is forgotten.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self.limit = limit
        self._clock = clock
        self._events: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, key: str) -> int:
        """Whole seconds until there is room for one more; 0 if there is."""
        events = self._events.get(key)
        if events is None or len(events) < self.limit:
            return 0
        return max(0, math.ceil(events[0] + _MINUTE - self._clock.monotonic()))

    def take(self, key: str) -> None:
        """Count an event."""
        events = self._events.setdefault(key, deque(maxlen=self.limit))
        events.append(self._clock.monotonic())
        self._events.move_to_end(key)
        if len(self._events) > _MOST_KEYS:
            self._events.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Take the last event back."""
        if events := self._events.get(key):
            events.pop()
