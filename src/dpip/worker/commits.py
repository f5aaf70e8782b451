"""Commits of results that lie in the image store already, several by one request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

MOST_AT_ONCE = 64
"""Results that one request may name."""


class StagedResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a result is committed by. ``notes`` is text, as of ``dpip.model.note``."""

    name: str
    workload_id: str
    job_id: str
    attempt: int
    milliseconds: float
    sha256: str
    notes: str = ""


class Answer(Struct, frozen=True, kw_only=True):
    """What became of it: as if it had been sent by itself."""

    status: int
    detail: str | None = None


Ask = Callable[[Sequence[StagedResult]], Awaitable[Sequence[Answer]]]


class Commits:
    """Has results committed. Those that come while a request is under way share the next one."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._waiting: list[tuple[StagedResult, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def commit(self, result: StagedResult) -> Answer:
        """Return what became of it. Raises what asking does."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_all(), name="commit results")
        return await answer

    async def _ask_for_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                given = await self._ask([result for result, _ in group])
                answers = list(zip(group, given, strict=True))
            except BaseException as error:
                for _, answer in group:
                    if not answer.done():
                        answer.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, answer), each in answers:
                    if not answer.done():
                        answer.set_result(each)
