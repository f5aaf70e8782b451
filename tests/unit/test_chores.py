"""How chores are ended."""

import asyncio

from dpip.chores import again_and_again, end, try_to


async def test_a_chore_that_swallows_its_cancellation_is_ended_all_the_same() -> None:
    """``asyncio.wait_for`` of Python 3.11 swallows one if its answer comes in the same turn."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def ask() -> None:
        begun.set()
        await asyncio.wait_for(answer, 60)

    chore = asyncio.create_task(again_and_again(ask, 60))
    await begun.wait()
    answer.set_result(None)
    await end(chore)
    assert chore.cancelled()


async def test_a_task_that_has_failed_is_ended() -> None:
    async def fail() -> None:
        raise ValueError

    failing = asyncio.create_task(fail())
    await asyncio.wait({failing})
    await end(failing)
    assert isinstance(failing.exception(), ValueError)


async def test_a_chore_outlives_the_cancellation_of_what_it_waits_for() -> None:
    async def wait_for_somebody_else() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.cancel()
        await answer

    await try_to(wait_for_somebody_else)
