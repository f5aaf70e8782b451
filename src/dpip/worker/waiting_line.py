"""Who is next where there is not enough for all."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """Lends out things, each to one at a time, in the order in which they are asked for.

    Those who are express go before all others that wait.
    """

    def __init__(self, things: Iterable[T]) -> None:
        self._free = list(things)
        self._express: deque[asyncio.Future[T]] = deque()
        self._others: deque[asyncio.Future[T]] = deque()

    @asynccontextmanager
    async def turn(self, *, express: bool) -> AsyncIterator[T]:
        """Have one of the things for the length of the block."""
        thing = await self._next(self._express if express else self._others)
        try:
            yield thing
        finally:
            self._hand_on(thing)

    async def _next(self, line: deque[asyncio.Future[T]]) -> T:
        if self._free:
            return self._free.pop()
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # It was handed over, and nobody is there to use it.
                self._hand_on(turn.result())
            raise

    def _hand_on(self, thing: T) -> None:
        while line := self._express or self._others:
            turn = line.popleft()
            if not turn.cancelled():
                turn.set_result(thing)
                return
        self._free.append(thing)
