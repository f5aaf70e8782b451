"""Work for a thread: what is asked for at the same moment goes there and comes back together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
    """Has ``do_all`` done in a thread for all that is asked for in one turn of the event loop.

    To hand a call to a thread and back takes as long as to read and move a small picture. What is
    asked for in the next turn does not wait for it. ``do_all`` answers each, in their order, with a
    result or with the exception to be raised.
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
        done = loop.run_in_executor(None, self._do_all, [what for what, _ in asked])
        done.add_done_callback(lambda done: _answer([answer for _, answer in asked], done))


def _answer(
    answers: Sequence[asyncio.Future[R]], done: asyncio.Future[Sequence[R | Exception]]
) -> None:
    if done.cancelled():
        for answer in answers:
            answer.cancel()
        return
    failed = done.exception()
    results = [failed] * len(answers) if failed else done.result()
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
