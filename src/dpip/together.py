"""Work for a thread: what is asked for at the same moment goes there and comes back together."""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

_WORTH_A_THREAD = 8
"""Calls beyond which another thread, on another core, takes its part of them."""

_CORES = os.cpu_count() or 1


class Together(Generic[A, R]):
    """Has ``do_all`` done in a thread for all that is asked for in one turn of the event loop.

    To hand a call to a thread and back takes as long as to read and move a small picture. Of many,
    each core has a part; what is asked for in the next turn does not wait for them. ``do_all``
    answers each of its part, in their order, with a result or with the exception to be raised. All
    have to ask in one event loop.
    """

    def __init__(self, do_all: Callable[[Sequence[A]], Sequence[R | Exception]]) -> None:
        self._do_all = do_all
        self._asked: list[tuple[A, asyncio.Future[R]]] = []

    async def do(self, what: A) -> R:
        """Return what became of it. Cancelled, it leaves the work to be done all the same."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._hand_over, loop)
        self._asked.append((what, answer))
        return await answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._asked = self._asked, []
        parts = min(_CORES, -(-len(asked) // _WORTH_A_THREAD))
        for part in (asked[start::parts] for start in range(parts)):
            answers = [answer for _, answer in part]
            try:
                done = loop.run_in_executor(None, self._do_all, [what for what, _ in part])
            except RuntimeError as error:  # The threads have ended, with the loop.
                _give(answers, [error] * len(answers))
            else:
                done.add_done_callback(partial(_pass_on, answers))


def _pass_on(
    answers: Sequence[asyncio.Future[R]], done: asyncio.Future[Sequence[R | Exception]]
) -> None:
    failed = asyncio.CancelledError() if done.cancelled() else done.exception()
    _give(answers, [failed] * len(answers) if failed else done.result())


def _give(answers: Sequence[asyncio.Future[R]], results: Sequence[R | BaseException]) -> None:
    for answer, result in zip(answers, results, strict=True):
        if answer.done():  # Whoever asked has gone.
            continue
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)


def for_each(function: Callable[[A], R]) -> Callable[[Sequence[A]], list[R | Exception]]:
    """Return what does ``function`` for each, whatever becomes of the others."""

    def tried(what: A) -> R | Exception:
        try:
            return function(what)
        except Exception as error:
            return error

    return lambda all_of_them: [tried(what) for what in all_of_them]
