import asyncio
from collections.abc import Awaitable, Callable

from dpip.worker.waiting_line import WaitingLine


class Counter:
    """Where people stand in line for one thing, and are let go one by one."""

    def __init__(self) -> None:
        self.line = WaitingLine(["thing"])
        self.served: list[str] = []
        self._leaving: dict[str, asyncio.Event] = {}

    async def comes(self, name: str, *, express: bool = False) -> asyncio.Task[None]:
        """Have somebody stand in line, or be served if nobody is there."""
        self._leaving[name] = asyncio.Event()
        task = asyncio.create_task(self._wait_and_stay(name, express))
        await asyncio.sleep(0)
        return task

    async def leaves(self, name: str) -> None:
        """Have somebody give the thing back, and the next take it."""
        self._leaving[name].set()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _wait_and_stay(self, name: str, express: bool) -> None:
        async with self.line.turn(express=express):
            self.served.append(name)
            await self._leaving[name].wait()


async def served_after(counter: Counter, come: Callable[[], Awaitable[None]]) -> list[str]:
    """Who is served, in order, when all go as soon as it was their turn."""
    await counter.comes("first")
    await come()
    for turn in range(100):
        if turn == len(counter.served):
            break
        await counter.leaves(counter.served[turn])
    return counter.served


async def test_who_comes_first_is_served_first() -> None:
    """One at a time."""
    counter = Counter()

    async def come() -> None:
        for name in ("a", "b", "c"):
            await counter.comes(name)
        assert counter.served == ["first"]

    assert await served_after(counter, come) == ["first", "a", "b", "c"]


async def test_express_goes_before_all_that_wait() -> None:
    """Several among themselves in order; who is being served is left alone."""
    counter = Counter()

    async def come() -> None:
        await counter.comes("a")
        await counter.comes("x", express=True)
        await counter.comes("b")
        await counter.comes("y", express=True)
        assert counter.served == ["first"]

    assert await served_after(counter, come) == ["first", "x", "y", "a", "b"]


async def test_who_gives_up_is_passed_over() -> None:
    """Wherever in the line it was."""
    counter = Counter()

    async def come() -> None:
        gone = [await counter.comes("gone"), await counter.comes("gone too", express=True)]
        await counter.comes("a")
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)

    assert await served_after(counter, come) == ["first", "a"]


async def test_what_was_handed_to_one_who_gives_up_goes_to_the_next() -> None:
    """The thing is not lost between two steps of the loop."""
    line = WaitingLine(["thing"])

    async def take() -> str:
        async with line.turn(express=False) as thing:
            return thing

    async with line.turn(express=False):
        gone, following = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0)
    gone.cancel()
    assert await following == "thing"
    assert gone.cancelled()


async def test_there_are_as_many_turns_as_things() -> None:
    """Whatever is back is lent again."""
    line = WaitingLine([1, 2])
    async with line.turn(express=False) as one, line.turn(express=True) as other:
        assert {one, other} == {1, 2}
    async with line.turn(express=False) as one, line.turn(express=False) as other:
        assert {one, other} == {1, 2}
