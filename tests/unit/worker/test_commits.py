"""Results that are committed by one request."""

import asyncio
from collections.abc import Sequence

import pytest

from dpip.worker import commits as module
from dpip.worker.commits import Answer, Commits, StagedResult

DONE = Answer(status=201)


@pytest.fixture
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is held for longer than a test may take."""
    monkeypatch.setattr(module, "_LONGEST_WAIT_SECONDS", 1e6)


def result(number: int) -> StagedResult:
    return StagedResult(
        name=str(number), workload_id="w", job_id=str(number), attempt=1, milliseconds=1, sha256="0"
    )


class Api:
    """Notes what is asked for together, and answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_short = False

    async def ask(self, results: Sequence[StagedResult]) -> Sequence[Answer]:
        self.asked.append([each.name for each in results])
        await self.may_answer.wait()
        return [DONE] * (len(results) - self.is_short)


def more() -> bool:
    return True


def no_more() -> bool:
    return False


@pytest.mark.usefixtures("endless_patience")
async def test_a_result_waits_for_those_that_are_to_come() -> None:
    """Once nothing more is to come, all go together."""
    api = Api()
    commits = Commits(api.ask)
    to_come = 4

    async def commit(number: int) -> Answer:
        nonlocal to_come
        to_come -= 1
        return await commits.commit(result(number), more_to_come=lambda: to_come > 0)

    first = [asyncio.create_task(commit(number)) for number in range(3)]
    while to_come > 1:
        await asyncio.sleep(0)
    assert not api.asked
    assert await commit(3) == DONE
    assert await asyncio.gather(*first) == [DONE] * 3
    assert api.asked == [["0", "1", "2", "3"]]


async def test_a_result_that_waits_in_vain_goes_alone() -> None:
    """What was to come may fail."""
    api = Api()
    assert await Commits(api.ask).commit(result(0), more_to_come=more) == DONE
    assert api.asked == [["0"]]


@pytest.mark.usefixtures("endless_patience")
async def test_enough_results_wait_for_no_more() -> None:
    """Even if there is."""
    api = Api()
    commits = Commits(api.ask)
    waiting = [
        asyncio.create_task(commits.commit(result(number), more_to_come=more))
        for number in range(16)
    ]
    assert await asyncio.gather(*waiting) == [DONE] * 16


@pytest.mark.usefixtures("endless_patience")
async def test_one_that_is_in_a_hurry_takes_all_along() -> None:
    """It is not held, and nor are those that were."""
    api = Api()
    commits = Commits(api.ask)
    held = asyncio.create_task(commits.commit(result(0), more_to_come=more))
    await asyncio.sleep(0)
    assert await commits.commit(result(1), more_to_come=no_more) == DONE
    assert await held == DONE
    assert api.asked == [["0", "1"]]


async def test_what_comes_while_a_request_is_under_way_goes_with_the_next() -> None:
    """As soon as the one under way is answered."""
    api = Api()
    api.may_answer.clear()
    commits = Commits(api.ask)
    first = asyncio.create_task(commits.commit(result(0), more_to_come=no_more))
    while not api.asked:
        await asyncio.sleep(0)
    others = [
        asyncio.create_task(commits.commit(result(number), more_to_come=no_more))
        for number in (1, 2)
    ]
    await asyncio.sleep(0)
    api.may_answer.set()
    assert [await first, *await asyncio.gather(*others)] == [DONE] * 3
    assert api.asked == [["0"], ["1", "2"]]


async def test_an_answer_that_is_too_short_fails_all() -> None:
    """Nobody waits for ever, and whoever comes next is answered."""
    api = Api()
    api.is_short = True
    commits = Commits(api.ask)
    with pytest.raises(ValueError, match="zip"):
        await commits.commit(result(0), more_to_come=no_more)
    api.is_short = False
    assert await commits.commit(result(1), more_to_come=no_more) == DONE
