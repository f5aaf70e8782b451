"""Commits of results that lie in the image store already, several by one request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

MOST_AT_ONCE = 64
"""Results that one request may name."""

_ENOUGH = 16
_LONGEST_WAIT_SECONDS = 0.05
"""How long a result is held for others that are to come: what fewer requests save is worth more
than that, and a worker that has more in hand is not kept waiting by it."""


class StagedResult(Struct, frozen=True, kw_only=True):
    """What a result is committed by."""

    name: str
    workload_id: str
    job_id: str
    attempt: int
    milliseconds: float
    sha256: str


class Answer(Struct, frozen=True, kw_only=True):
    """What became of it: as if it had been sent by itself."""

    status: int
    detail: str | None = None


Ask = Callable[[Sequence[StagedResult]], Awaitable[Sequence[Answer]]]


class Commits:
    """Has results committed, several by one request.

    Those that come while a request is under way share the next one; where more are to come, the
    first is held for a moment.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._waiting: list[tuple[StagedResult, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._go = asyncio.Event()

    async def commit(self, result: StagedResult, *, more_to_come: bool) -> Answer:
        """Return what became of it. Raises what asking does."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, answer))
        if len(self._waiting) >= _ENOUGH or not more_to_come:
            self._go.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_all(), name="commit results")
        return await answer

    async def _ask_for_all(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                    await self._go.wait()
            self._go.clear()
            group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                answers = await self._ask([result for result, _ in group])
            except BaseException as error:
                for _, answer in group:
                    if not answer.done():
                        answer.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, answer), given in zip(group, answers, strict=True):
                    if not answer.done():
                        answer.set_result(given)
