"""Group commit: writers that wait at the same time share one transaction."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")
Operation = Callable[[Connection], T]

_LARGEST_GROUP = 128


class _Write:
    """An operation that waits to be written, and the future of whoever waits for it."""

    def __init__(self, operation: Operation[Any]) -> None:
        self.operation = operation
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: object = None
        self.error: BaseException | None = None

    def perform(self, connection: Connection) -> None:
        self.result = self.operation(connection)

    def settle(self, error: BaseException | None = None) -> None:
        self.loop.call_soon_threadsafe(self._resolve, error or self.error)

    def _resolve(self, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result)


class WriteQueue:
    """One thread that writes. All operations that wait are run in one transaction, each in a
    savepoint of its own, and answered once the one commit that they share is durable.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="datastore", daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        """Run ``operation`` in a transaction; on return it is durable, on an exception undone."""
        write = _Write(operation)
        self._waiting.put(write)
        result: T = await write.future
        return result

    def close(self) -> None:
        """Write what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _write_groups(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, closing = self._gather(first)
            try:
                self._write(group)
            except BaseException as error:
                for write in group:
                    write.settle(error)
            else:
                for write in group:
                    write.settle()
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
        with self._engine.begin() as connection:
            if len(group) == 1:  # Nobody's work to protect: no savepoint.
                return group[0].perform(connection)
            for write in group:
                try:
                    with connection.begin_nested():
                        write.perform(connection)
                except Exception as error:
                    if connection.invalidated:
                        raise
                    write.error = error
