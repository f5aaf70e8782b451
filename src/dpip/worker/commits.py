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


MoreToCome = Callable[[], bool]
"""Whether other results are to come soon."""

Ask = Callable[[Sequence[StagedResult]], Awaitable[Sequence[Answer]]]


class Commits:
    """Has results committed, several by one request.

    Those that come while a request is under way share the next one; where more are to come, the
    first is held for a moment.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._waiting: list[tuple[StagedResult, MoreToCome, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._one_more = asyncio.Event()

    async def commit(self, result: StagedResult, *, more_to_come: MoreToCome) -> Answer:
        """Return what became of it. Raises what asking does."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, more_to_come, answer))
        self._one_more.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_all(), name="commit results")
        return await answer

    async def _ask_for_all(self) -> None:
        while self._waiting:
            await self._until_worth_a_request()
            group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                given = await self._ask([result for result, _, _ in group])
                answers = list(zip(group, given, strict=True))
            except BaseException as error:
                for _, _, answer in group:
                    if not answer.done():
                        answer.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, _, answer), each in answers:
                    if not answer.done():
                        answer.set_result(each)

    async def _until_worth_a_request(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                while len(self._waiting) < _ENOUGH and all(more() for _, more, _ in self._waiting):
                    self._one_more.clear()
                    await self._one_more.wait()
