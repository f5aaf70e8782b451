"""A part runs until it is told to stop, or until it cannot go on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from dpip.cli.service import serve
from dpip.errors import JoinRefused

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REFUSED = JoinRefused(name="w", reason="Quarantined.")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave the handlers of signals as they were: a part is the only one in its process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
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


@pytest.mark.parametrize("number", SIGNALS)
def test_a_part_that_is_told_to_stop_leaves_in_good_order(number: signal.Signals) -> None:
    """Also one that might end by itself, and whose terminal was closed."""
    part = Part()

    async def never(_part: Part) -> None:
        await asyncio.Event().wait()

    serve(part.run(), lambda _: os.kill(os.getpid(), number), until=never)
    assert part.left == [None]


def test_a_part_outlives_its_terminal_under_nohup() -> None:
    """Which is what nohup is for."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    part = Part()

    async def hang_up_and_end(_part: Part) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        raise REFUSED

    with pytest.raises(JoinRefused):
        serve(part.run(), until=hang_up_and_end)


def test_a_part_that_cannot_go_on_ends_with_its_error() -> None:
    """It is stopped first, and knows why."""
    part = Part()

    async def fail(_part: Part) -> None:
        raise REFUSED

    with pytest.raises(JoinRefused, match="Quarantined"):
        serve(part.run(), until=fail)
    assert part.left == [REFUSED]
