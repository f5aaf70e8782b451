"""What is done again and again."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dpip.errors import DpipError

log = structlog.get_logger()


async def again_and_again(chore: Callable[[], Awaitable[None]], every: float) -> None:
    """Do ``chore`` at once and then every ``every`` seconds, whatever becomes of it."""
    while True:
        try:
            await chore()
        except DpipError as error:
            log.warning("chore not done, will try again", reason=str(error))
        except Exception:
            log.exception("chore failed, will try again")
        await asyncio.sleep(every)
