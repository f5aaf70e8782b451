"""An event loop whose time passes only while nothing is left to do, and then at once."""

import asyncio
import selectors
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_STARTED_AT = 1_700_000_000.0


class VirtualClock:
    """The clock of a virtual-time loop, for ``dpip.ports.clock``."""

    def __init__(self, loop: "VirtualTimeLoop") -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds since 1970 of a day long ago, and what has passed since."""
        return _STARTED_AT + self._loop.time()

    def monotonic(self) -> float:
        """Seconds since the loop was made."""
        return self._loop.time()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs what is due in the order of time, and instead of waiting moves its clock on.

    Everything of asyncio that takes time goes by it: sleeping, timeouts, timers. So code that
    knows nothing of it runs unchanged, hours in seconds, and each time in the same order.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._standing_still = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Have no time pass meanwhile: a thread is at work, and will wake the loop."""
        self._standing_still += 1
        try:
            yield
        finally:
            self._standing_still -= 1

    @property
    def may_move_on(self) -> bool:
        """Whether nobody is waited for but the clock."""
        return not self._standing_still

    def move_on(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


def running_loop() -> VirtualTimeLoop:
    """The loop that runs, which is one of these."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)  # noqa: S101  # nosec B101 # for the type checker
    return loop


class _Selector(selectors.BaseSelector):
    """Looks for what has come in and, where the loop would wait for a moment, moves time on."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            # With work at hand, threads that have ended are looked for only if one is at work.
            return [] if self._loop.may_move_on else self._real.select(0)
        if timeout is None or not self._loop.may_move_on:
            return self._real.select(None)
        self._loop.move_on(timeout)
        return []
