"""Results that are committed by one request."""

import asyncio
from collections.abc import Sequence

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

    async def ask(self, results: Sequence[StagedResult]) -> Sequence[Answer]:
        self.asked.append([each.name for each in results])
        await self.may_answer.wait()
        return [DONE] * len(results)


async def test_a_result_waits_for_those_that_are_to_come() -> None:
    """The last of them has all go together."""
    api = Api()
    commits = Commits(api.ask)
    first = [asyncio.create_task(commits.commit(result(n), more_to_come=True)) for n in range(3)]
    assert await commits.commit(result(3), more_to_come=False) == DONE
    assert await asyncio.gather(*first) == [DONE] * 3
    assert sorted(name for names in api.asked for name in names) == list("0123")
    assert len(api.asked) == 1


async def test_a_result_that_waits_in_vain_goes_alone() -> None:
    """What was to come may fail."""
    api = Api()
    assert await Commits(api.ask).commit(result(0), more_to_come=True) == DONE
    assert api.asked == [["0"]]


async def test_enough_results_wait_for_no_more() -> None:
    """Those beyond go with the next request."""
    api = Api()
    commits = Commits(api.ask)
    waiting = [asyncio.create_task(commits.commit(result(n), more_to_come=True)) for n in range(40)]
    assert await asyncio.gather(*waiting) == [DONE] * 40
    assert len(api.asked) < 4


async def test_the_last_one_does_not_wait_behind_a_request() -> None:
    """It goes as soon as the one under way is answered."""
    api = Api()
    api.may_answer.clear()
    commits = Commits(api.ask)
    first = asyncio.create_task(commits.commit(result(0), more_to_come=False))
    while not api.asked:
        await asyncio.sleep(0)
    last = asyncio.create_task(commits.commit(result(1), more_to_come=False))
    await asyncio.sleep(0)
    api.may_answer.set()
    assert [await first, await last] == [DONE, DONE]
    assert api.asked == [["0"], ["1"]]
