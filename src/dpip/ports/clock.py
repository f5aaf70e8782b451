"""Time, as far as the system's decisions depend on it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one for people to read, one to measure with."""

    def now(self) -> float:
        """Seconds since 1970, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment. Never jumps; comparable within one process only."""
        ...


class SystemClock:
    """The clocks of the machine."""

    def now(self) -> float:
        """Read the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return time.monotonic()
