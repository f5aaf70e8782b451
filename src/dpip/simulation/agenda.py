"""What is going to happen in the simulated world, in the order of time."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from dpip.simulation.cpu_time import CpuTime


class Agenda:
    """Calls functions when their time has come; the CPU time that they take is ``own``.

    One timer of the event loop serves all of them.
    """

    def __init__(self, own: CpuTime) -> None:
        self.own = own
        self.events = 0
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._numbers = count()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def now(self) -> float:
        """Seconds of virtual time since the agenda was made."""
        return self._loop.time() - self._began_at

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call ``call`` in ``seconds`` from now."""
        self.at(self.now + seconds, call, *arguments)

    def at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call ``call`` at ``when``."""
        heapq.heappush(self._heap, (when, next(self._numbers), call, arguments))
        self._set_timer()

    def clear(self) -> None:
        """Let nothing more happen."""
        self._heap.clear()
        if self._timer:
            self._timer.cancel()

    def _set_timer(self) -> None:
        when = self._heap[0][0]
        if self._timer is None or self._began_at + when < self._timer.when():
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._began_at + when, self._let_happen)

    def _let_happen(self) -> None:
        with self.own:
            self._timer = None
            now = self.now
            while self._heap and self._heap[0][0] <= now:
                _, _, call, arguments = heapq.heappop(self._heap)
                self.events += 1
                call(*arguments)
            if self._heap:
                self._set_timer()
