"""Group commit: writers that wait at the same time share one transaction."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
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

    def __init__(self, operation: Operation[Any]) -> None:
        self.operation = operation
        self.outcome: Future[Any] = Future()
        self.result: object = None
        self.error: BaseException | None = None
        self._put_in_at = time.monotonic()

    def begin(self) -> bool:
        """Whether it is to be performed: it was not taken back and has not waited for too long."""
        if not self.outcome.set_running_or_notify_cancel():
            return False
        if time.monotonic() - self._put_in_at > _LONGEST_WAIT_SECONDS:
            self.settle(TimeoutError(f"no write was possible for {_LONGEST_WAIT_SECONDS} s"))
            return False
        return True

    def perform(self, connection: Connection) -> None:
        self.error = None
        self.result = self.operation(connection)

    def settle(self, error: BaseException | None = None) -> None:
        if error or self.error:
            self.outcome.set_exception(error or self.error)
        else:
            self.outcome.set_result(self.result)


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
        write = _Write(operation)
        self._waiting.put(write)
        outcome = asyncio.wrap_future(write.outcome)
        try:
            result: T = await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if not write.outcome.cancel():
                await asyncio.gather(outcome, return_exceptions=True)
            raise
        return result

    def close(self) -> None:
        """Write what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _write_groups(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, closing = self._gather(first)
            self._write([write for write in group if write.begin()])
            if closing:
                return

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
                return self._settle(group, error)
            return self._settle(group)
        for write in group:
            self._write_alone(write)

    def _settle(self, group: list[_Write], error: BaseException | None = None) -> None:
        for write in group:
            write.settle(error)

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
                return write.settle(error)
            return write.settle()


def _is_deadlock(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _DEADLOCK
