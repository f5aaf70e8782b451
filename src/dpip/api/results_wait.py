"""The long poll for results."""

import asyncio
import contextlib

from dpip.api.context import Context
from dpip.model.job import SettledJob

_LOOK_AGAIN_SECONDS = 2.0
"""A hint that was lost costs at most this much."""

_GATHER_SECONDS = 0.02
"""Jobs that settle close together travel in one answer, which spares both sides requests."""


async def settled_jobs(
    context: Context, workload_id: str, *, after: int, limit: int, wait: float
) -> list[SettledJob]:
    """Return jobs that settled after position ``after``; wait up to ``wait`` s for the first."""
    with context.feed.listening(workload_id) as settled:
        give_up_at = context.clock.monotonic() + wait
        while True:
            settled.clear()
            jobs = await context.datastore.settled_jobs(workload_id, after=after, limit=limit)
            left = give_up_at - context.clock.monotonic()
            if len(jobs) == limit or left <= 0 or context.feed.closed:
                return jobs
            if jobs:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(settled.wait(), min(left, _LOOK_AGAIN_SECONDS))
        await asyncio.sleep(min(left, _GATHER_SECONDS))
        return await context.datastore.settled_jobs(workload_id, after=after, limit=limit)
