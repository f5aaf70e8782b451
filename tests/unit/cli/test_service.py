"""A part runs until it is told to stop, or until it cannot go on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from dpip.cli.service import serve
from dpip.errors import JoinRefused

REFUSED = JoinRefused(name="w", reason="Quarantined.")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave the handlers of signals as they were: a part is the only one in its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Part:
    """Notes how it is left."""

    def __init__(self) -> None:
        self.left: list[BaseException | None] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Part"]:
        try:
            yield self
        except BaseException as error:
            self.left.append(error)
            raise
        self.left.append(None)


def test_a_part_that_is_told_to_stop_leaves_in_good_order() -> None:
    """Also one that might end by itself."""
    part = Part()

    async def never(_part: Part) -> None:
        await asyncio.Event().wait()

    serve(part.run(), lambda _: os.kill(os.getpid(), signal.SIGTERM), until=never)
    assert part.left == [None]


def test_a_part_that_cannot_go_on_ends_with_its_error() -> None:
    """It is stopped first, and knows why."""
    part = Part()

    async def fail(_part: Part) -> None:
        raise REFUSED

    with pytest.raises(JoinRefused, match="Quarantined"):
        serve(part.run(), until=fail)
    assert part.left == [REFUSED]
