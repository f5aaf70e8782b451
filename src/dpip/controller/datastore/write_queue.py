"""Group commit: writers that wait at the same time share one transaction."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

T = TypeVar("T")
Operation = Callable[[Connection], T]

_LARGEST_GROUP = 128
_LONGEST_WAIT_SECONDS = 10
_MOST_TRIES = 20
_DEADLOCK = "40P01"
"""PostgreSQL's code for a transaction that it undid because another one waited for it too."""


class _Undone(Exception):
    """One of a group has failed, and nothing of the group has happened."""


class _Write:
    """An operation that waits to be written, and what becomes of it."""

    def __init__(self, operation: Operation[Any], answer: asyncio.Future[Any]) -> None:
        self.answer = answer
        self.error: BaseException | None = None
        self._operation = operation
        self._result: object = None
        self._put_in_at = time.monotonic()
        self._turn = threading.Lock()

    def take(self) -> bool:
        """Whether the caller, of the thread that writes and whoever takes it back, is the first."""
        return self._turn.acquire(blocking=False)

    @property
    def is_too_old(self) -> bool:
        """Whether it has waited for too long."""
        return time.monotonic() - self._put_in_at > _LONGEST_WAIT_SECONDS

    def perform(self, connection: Connection) -> None:
        self.error = None
        self._result = self._operation(connection)

    def tell(self) -> None:
        """Answer whoever waits. For the event loop's thread."""
        if self.answer.done():
            return
        if self.error:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self._result)


class WriteQueue:
    """One thread that writes. All operations that wait are run in one transaction, and answered
    once the one commit that they share is durable. When one fails, they are run again, each in a
    savepoint of its own, so that it is undone alone.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="datastore", daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        """Run ``operation`` in a transaction; on return it is durable, on an exception undone.

        Cancelled, it returns when the operation will not be run, or has been. Raises
        ``TimeoutError`` for one whose turn did not come in time.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        write = _Write(operation, answer)
        self._waiting.put(write)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if not write.take():
                await asyncio.gather(answer, return_exceptions=True)
            raise

    def close(self) -> None:
        """Write what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _write_groups(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, closing = self._gather(first)
            self._write([write for write in group if self._begin(write)])
            if closing:
                return

    def _begin(self, write: _Write) -> bool:
        """Whether to perform ``write``: it was not taken back, and has not waited for too long."""
        if not write.take():
            return False
        if write.is_too_old:
            _settle([write], TimeoutError(f"no write was possible for {_LONGEST_WAIT_SECONDS} s"))
            return False
        return True

    def _gather(self, first: _Write) -> tuple[list[_Write], bool]:
        group = [first]
        while len(group) < _LARGEST_GROUP:
            try:
                write = self._waiting.get_nowait()
            except queue.Empty:
                break
            if write is None:
                return group, True
            group.append(write)
        return group, False

    def _write(self, group: list[_Write]) -> None:
        if len(group) == 1:  # Nobody's work to protect: no savepoint.
            return self._write_alone(group[0])
        # Nearly always none of them fails, and then none has to be undone alone.
        for write_all in (self._write_unguarded, self._write_guarded):
            try:
                write_all(group)
            except _Undone:
                continue
            except BaseException as error:
                return _settle(group, error)
            return _settle(group)
        for write in group:
            self._write_alone(write)

    def _write_unguarded(self, group: list[_Write]) -> None:
        with self._engine.begin() as connection:
            for write in group:
                try:
                    write.perform(connection)
                except Exception as error:
                    if connection.invalidated:
                        raise
                    raise _Undone from error

    def _write_guarded(self, group: list[_Write]) -> None:
        with self._engine.begin() as connection:
            for write in group:
                try:
                    with connection.begin_nested():
                        write.perform(connection)
                except SQLAlchemyError as error:
                    if connection.invalidated:
                        raise
                    # Some failures end the whole transaction, with what the others did in it.
                    raise _Undone from error
                except Exception as error:
                    write.error = error

    def _write_alone(self, write: _Write) -> None:
        for tries_left in reversed(range(_MOST_TRIES)):
            try:
                with self._engine.begin() as connection:
                    write.perform(connection)
            except BaseException as error:
                if tries_left and _is_deadlock(error):
                    continue
                return _settle([write], error)
            return _settle([write])


def _settle(group: Sequence[_Write], error: BaseException | None = None) -> None:
    """Tell all who wait, those of one event loop at once; ``error`` is that of all of them."""
    waiting: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in group:
        write.error = error or write.error
        waiting.setdefault(write.answer.get_loop(), []).append(write)
    for loop, writes in waiting.items():
        with suppress(RuntimeError):  # It has ended, and with it all who waited.
            loop.call_soon_threadsafe(_tell, writes)


def _tell(writes: Sequence[_Write]) -> None:
    for write in writes:
        write.tell()


def _is_deadlock(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _DEADLOCK
