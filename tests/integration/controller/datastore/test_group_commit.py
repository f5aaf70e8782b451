"""Writes that wait together share a commit, and nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from dpip.controller.datastore import write_queue
from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.write_queue import WriteQueue


class Writer:
    """A write queue on a table of numbers, whose thread can be held while writes gather."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.queue = WriteQueue(engine)
        self.commits = 0
        self.free = threading.Event()
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE numbers (number INTEGER UNIQUE, filling TEXT)"))
        event.listen(engine, "commit", self._count)
        self.savepoints = 0
        event.listen(engine, "savepoint", self._count_savepoint)

    def _count(self, _connection: Connection) -> None:
        self.commits += 1

    def _count_savepoint(self, _connection: Connection, _name: str | None) -> None:
        self.savepoints += 1

    async def together(self, *operations: Callable[[Connection], Any]) -> list[Any]:
        """Run the operations in one group; what each returned or raised."""
        held = threading.Event()

        def hold(_connection: Connection) -> None:
            held.set()
            self.free.wait()

        first = asyncio.ensure_future(self.queue.run(hold))
        await asyncio.to_thread(held.wait)
        writes = [asyncio.ensure_future(self.queue.run(operation)) for operation in operations]
        await asyncio.sleep(0)  # They wait in the queue.
        self.free.set()
        await first
        self.commits -= 1
        return await asyncio.gather(*writes, return_exceptions=True)

    def numbers(self) -> list[int]:
        with self.engine.connect() as connection:
            return list(connection.scalars(text("SELECT number FROM numbers ORDER BY number")))


def add(number: int) -> Callable[[Connection], int]:
    def operation(connection: Connection) -> int:
        connection.execute(text("INSERT INTO numbers (number) VALUES (:n)"), {"n": number})
        return number

    return operation


def add_then(number: int, what: Callable[[Connection], object]) -> Callable[[Connection], None]:
    def operation(connection: Connection) -> None:
        add(number)(connection)
        what(connection)

    return operation


def refuse(_connection: Connection) -> None:
    raise LookupError("refused")


def fill_up(connection: Connection) -> None:
    """Write more than the database may hold, so that it ends the transaction by itself."""
    connection.execute(text("PRAGMA max_page_count = 20"))
    connection.execute(text("INSERT INTO numbers (filling) VALUES (hex(randomblob(100000)))"))


@pytest.fixture
async def writer(empty_database: str) -> AsyncIterator[Writer]:
    engine, reader = open_engines(empty_database, readers=1)
    reader.dispose()
    writer = Writer(engine)
    yield writer
    await asyncio.to_thread(writer.queue.close)
    engine.dispose()


async def test_writes_that_wait_together_share_one_commit(writer: Writer) -> None:
    """Each gets its own answer."""
    assert await writer.together(*map(add, range(50))) == list(range(50))
    assert writer.commits == 1
    assert writer.savepoints == 0
    assert writer.numbers() == list(range(50))


async def test_writes_one_after_the_other_are_committed_each(writer: Writer) -> None:
    """Nobody is answered before a commit."""
    for number in range(3):
        await writer.queue.run(add(number))
        assert writer.commits == number + 1


async def test_a_group_has_a_largest_size(writer: Writer) -> None:
    """What is too much for one transaction goes into the next."""
    await writer.together(*map(add, range(200)))
    assert writer.commits == 2
    assert writer.numbers() == list(range(200))


async def test_a_refused_write_leaves_the_others_of_its_group(writer: Writer) -> None:
    """It is undone alone, and the rest still shares one commit."""
    first, refused, last = await writer.together(add(1), add_then(2, refuse), add(3))
    assert (first, last) == (1, 3)
    assert isinstance(refused, LookupError)
    assert writer.numbers() == [1, 3]
    assert writer.commits == 1


async def test_a_write_that_the_database_refuses_leaves_the_others(writer: Writer) -> None:
    """A broken constraint is told to whoever broke it, and what they did is undone."""
    first, refused, last = await writer.together(add(1), add_then(2, add(1)), add(3))
    assert (first, last) == (1, 3)
    assert isinstance(refused, IntegrityError)
    assert writer.numbers() == [1, 3]


async def test_a_write_that_is_refused_alone_is_undone(writer: Writer) -> None:
    """The next one works."""
    with pytest.raises(LookupError):
        await writer.queue.run(add_then(1, refuse))
    await writer.queue.run(add(2))
    assert writer.numbers() == [2]


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
async def test_what_is_answered_is_kept_when_the_database_ends_the_transaction(
    writer: Writer,
) -> None:
    """Neighbours of a write that fills the database up are written all the same."""
    first, refused, last = await writer.together(add(1), fill_up, add(2))
    assert (first, last) == (1, 2)
    assert isinstance(refused, OperationalError)
    assert writer.numbers() == [1, 2]


async def test_a_commit_that_fails_is_told_to_the_whole_group(writer: Writer) -> None:
    """Nobody is told that their write is durable, and the next one works."""

    def fail(_connection: Connection) -> None:
        raise OSError(5, "Input/output error")

    def spoil(_connection: Connection) -> None:
        event.listen(writer.engine, "commit", fail)

    outcomes = await writer.together(add(1), spoil, add(2))
    event.remove(writer.engine, "commit", fail)
    assert [type(outcome) for outcome in outcomes] == [OSError] * 3
    assert await writer.queue.run(add(3)) == 3
    assert writer.numbers() == [3]


async def test_a_caller_that_goes_away_does_not_stop_the_others(writer: Writer) -> None:
    """Its write happens or not, and those of the others happen."""

    async def gone() -> None:
        task = asyncio.ensure_future(writer.queue.run(add(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await gone()
    assert await writer.queue.run(add(2)) == 2
    assert 2 in writer.numbers()


async def test_a_caller_that_goes_away_in_time_takes_its_write_along(writer: Writer) -> None:
    """What has not begun is not done."""
    held = threading.Event()

    def hold(_connection: Connection) -> None:
        held.set()
        writer.free.wait()

    first = asyncio.ensure_future(writer.queue.run(hold))
    await asyncio.to_thread(held.wait)
    taken_back = asyncio.ensure_future(writer.queue.run(add(1)))
    await asyncio.sleep(0)  # It waits in the queue.
    taken_back.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taken_back
    writer.free.set()
    await first
    await writer.queue.run(add(2))
    assert writer.numbers() == [2]


async def test_a_caller_is_not_gone_before_its_write_has_ended(writer: Writer) -> None:
    """When it is, what became of the write stays so."""
    begun = threading.Event()

    def add_slowly(connection: Connection) -> None:
        begun.set()
        writer.free.wait()
        add(1)(connection)

    gone = asyncio.ensure_future(writer.queue.run(add_slowly))
    await asyncio.to_thread(begun.wait)
    gone.cancel()
    await asyncio.wait([gone], timeout=0)
    assert not gone.done()
    writer.free.set()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert writer.numbers() == [1]


async def test_a_write_whose_turn_comes_too_late_is_refused(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so, and nothing of it happens."""
    monkeypatch.setattr(write_queue, "_LONGEST_WAIT_SECONDS", 0)
    with pytest.raises(TimeoutError):
        await writer.queue.run(add(1))
    monkeypatch.undo()
    await writer.queue.run(add(2))
    assert writer.numbers() == [2]


async def test_closing_writes_what_waits(empty_database: str) -> None:
    """What was put in before is durable and answered."""
    engine, reader = open_engines(empty_database, readers=1)
    reader.dispose()
    writer = Writer(engine)
    writes = [asyncio.ensure_future(writer.queue.run(add(number))) for number in range(200)]
    await asyncio.sleep(0)  # They wait in the queue.
    await asyncio.to_thread(writer.queue.close)
    assert await asyncio.gather(*writes) == list(range(200))
    assert writer.numbers() == list(range(200))
    engine.dispose()
