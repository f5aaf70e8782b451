"""Uploads of one user side by side, opposite a datastore that takes its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from dpip.api.quotas import Quotas
from dpip.errors import QuotaExceeded, TooBusy
from dpip.model.ids import new_id
from dpip.model.quota import QuotaLimits
from dpip.model.rate import Count
from dpip.model.user import Role, User
from dpip.model.workload import Usage
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import Workloads

USER = User(id=new_id(), name="ann", role=Role.USER, password_hash="", created_at=0.0)
NOTHING = Usage(stored_bytes=0, pending_jobs=0)
SIZE = 10


class SlowRows:
    """Answers each question with nothing, as of when it was asked, once it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.let = asyncio.Event()
        self.let.set()

    async def usage(self, owner_id: str) -> Usage:
        self.asked.set()
        await self.let.wait()
        return NOTHING

    async def recent_uploads(self, owner_id: str, now: float) -> list[Count]:
        return []

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Leave what is asked in the block unanswered until its end."""
        self.let.clear()
        yield
        self.let.set()


@pytest.fixture
def rows() -> SlowRows:
    return SlowRows()


def quotas(rows: SlowRows, limits: QuotaLimits) -> Quotas:
    return Quotas(cast("Workloads", rows), limits, SystemClock())


async def test_one_that_ends_while_another_asks_is_counted(rows: SlowRows) -> None:
    """The answer may be from before it was stored."""
    bounded = quotas(rows, QuotaLimits(pending_jobs=1))
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(bounded.upload(USER, SIZE))
        async with rows.holding():
            asking = asyncio.create_task(second.enter_async_context(bounded.upload(USER, SIZE)))
            rows.asked.clear()
            await rows.asked.wait()
            await first.aclose()
        with pytest.raises(TooBusy):
            await asking


async def test_one_that_asked_while_the_last_before_it_ended_is_counted(rows: SlowRows) -> None:
    """Those that come later see it, though for a moment none was on its way."""
    bounded = quotas(rows, QuotaLimits(stored_bytes=2 * SIZE))
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(bounded.upload(USER, SIZE))
        async with rows.holding():
            asking = asyncio.create_task(second.enter_async_context(bounded.upload(USER, SIZE)))
            rows.asked.clear()
            await rows.asked.wait()
            await first.aclose()
        assert await asking == SIZE
        async with bounded.upload(USER, SIZE):
            with pytest.raises(QuotaExceeded):
                await second.enter_async_context(bounded.upload(USER, SIZE))


async def test_of_two_that_ask_at_once_the_second_sees_the_first(rows: SlowRows) -> None:
    """Each asked before the other was let in."""
    bounded = quotas(rows, QuotaLimits(stored_bytes=SIZE))
    async with AsyncExitStack() as stack:
        async with rows.holding():
            asking = [
                asyncio.create_task(stack.enter_async_context(bounded.upload(USER, SIZE)))
                for _ in range(2)
            ]
            await rows.asked.wait()
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[0] == SIZE
    assert isinstance(answers[1], QuotaExceeded)
