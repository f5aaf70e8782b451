"""What is asked for at the same moment goes to a thread together."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from dpip.together import Together, for_each


class Inverses:
    """Inverts numbers, and notes which came together and where."""

    def __init__(self) -> None:
        self.parts: list[list[int]] = []
        self.threads: set[int] = set()
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, numbers: Sequence[int]) -> list[float | Exception]:
        self.parts.append(list(numbers))
        self.threads.add(threading.get_ident())
        self.may_end.wait(60)
        return for_each(_inverse)(numbers)


def _inverse(number: int) -> float:
    return 1 / number


@pytest.fixture
def inverses() -> Inverses:
    return Inverses()


async def test_what_is_asked_for_together_goes_together(inverses: Inverses) -> None:
    """Each has its own answer, or its own error."""
    together = Together(inverses)
    answers = await asyncio.gather(*map(together.do, (1, 0, 2)), return_exceptions=True)
    assert answers[0::2] == [1.0, 0.5]
    assert isinstance(answers[1], ZeroDivisionError)
    assert inverses.parts == [[1, 0, 2]]
    assert threading.get_ident() not in inverses.threads


async def test_many_are_shared_out(inverses: Inverses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each core has a part of them, and all answers find who asked."""
    monkeypatch.setattr("dpip.together._CORES", 3)
    together = Together(inverses)
    assert await asyncio.gather(*map(together.do, range(1, 65))) == [1 / n for n in range(1, 65)]
    assert len(inverses.parts) == 3


async def test_who_goes_away_is_missed_by_nobody(inverses: Inverses) -> None:
    """The work is done all the same, and the others are answered."""
    together = Together(inverses)
    inverses.may_end.clear()
    gone, there = (asyncio.create_task(together.do(number)) for number in (1, 2))
    while not inverses.parts:
        await asyncio.sleep(0)
    gone.cancel()
    inverses.may_end.set()
    assert await there == 0.5
    assert gone.cancelled()


async def test_work_that_cannot_be_done_at_all_fails_all() -> None:
    """Nobody waits for ever."""

    def stumble(_: Sequence[int]) -> list[int | Exception]:
        raise OSError(5, "Input/output error")

    answers = await asyncio.gather(*map(Together(stumble).do, (1, 2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError]


async def test_without_threads_all_fail(inverses: Inverses) -> None:
    """As when the loop is about to end."""
    await asyncio.get_running_loop().shutdown_default_executor()
    with pytest.raises(RuntimeError):
        await Together(inverses).do(1)
