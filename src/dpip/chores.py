"""What is done again and again, whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dpip.errors import DpipError

log = structlog.get_logger()


async def again_and_again(chore: Callable[[], Awaitable[None]], every: float) -> None:
    """Do ``chore`` at once and then every ``every`` seconds."""
    while True:
        await try_to(chore)
        await asyncio.sleep(every)


async def try_to(chore: Callable[[], Awaitable[None]]) -> None:
    """Do ``chore``; an error of it is logged and goes no further."""
    try:
        await chore()
    except DpipError as error:
        log.warning("chore not done, will try again", reason=str(error))
    except Exception:
        log.exception("chore failed, will try again")
