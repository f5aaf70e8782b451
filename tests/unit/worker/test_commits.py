"""Results that are committed by one request."""

import asyncio
from collections.abc import Sequence

import pytest

from dpip.worker.commits import Answer, Commits, StagedResult

DONE = Answer(status=201)


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


async def test_what_comes_while_a_request_is_under_way_goes_with_the_next() -> None:
    """As soon as the one under way is answered."""
    api = Api()
    api.may_answer.clear()
    commits = Commits(api.ask)
    first = asyncio.create_task(commits.commit(result(0)))
    while not api.asked:
        await asyncio.sleep(0)
    others = [asyncio.create_task(commits.commit(result(number))) for number in (1, 2)]
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
        await commits.commit(result(0))
    api.is_short = False
    assert await commits.commit(result(1)) == DONE
