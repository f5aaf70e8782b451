"""So many events a minute, and no more."""

import math
from collections.abc import Iterable

from msgspec import Struct

MINUTE = 60
"""Seconds in which events are counted."""


class Count(Struct, frozen=True):
    """How many events there were in a second, counted from 1970."""

    second: int
    events: int


class Bound(Struct, frozen=True):
    """At most ``limit`` events of ``key`` in any minute."""

    key: str
    limit: int

    def wait(self, recent: Iterable[Count], now: float) -> int:
        """Whole seconds until there is room for one more beside ``recent`` ones; 0 if there is.

        An event counts until a minute has passed since the end of its second.
        """
        counted = [count for count in recent if count.second + 1 + MINUTE > now]
        events = sum(count.events for count in counted)
        wait = 0.0
        for count in sorted(counted, key=lambda each: each.second):
            if events < self.limit:
                break
            events -= count.events
            wait = count.second + 1 + MINUTE - now
        return min(MINUTE, math.ceil(wait))
