"""What is done again and again, whatever becomes of it, and how it is ended."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dpip.errors import DpipError

log = structlog.get_logger()

_CANCEL_AGAIN_SECONDS = 1.0


async def again_and_again(chore: Callable[[], Awaitable[None]], every: float) -> None:
    """Do ``chore`` at once and then every ``every`` seconds."""
    while True:
        await try_to(chore)
        await asyncio.sleep(every)


async def try_to(chore: Callable[[], Awaitable[None]]) -> None:
    """Do ``chore``; an error of it is logged and goes no further."""
    try:
        await chore()
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        log.warning("chore broken off, will try again")
    except DpipError as error:
        log.warning("chore not done, will try again", reason=str(error))
    except Exception:
        log.exception("chore failed, will try again")


def is_cancelled() -> bool:
    """Whether the task that asks was cancelled itself, not only something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel ``tasks``, and return when they have ended, however they do.

    One may swallow its cancellation and go on: ``asyncio.wait_for`` of Python 3.11 does, if what it
    waits for comes in the same turn of the loop. It is cancelled again.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
