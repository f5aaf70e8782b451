"""The datastore in virtual time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Engine, event

from dpip.controller.datastore.sql_datastore import SqlDatastore
from dpip.simulation.virtual_time import running_loop

T = TypeVar("T")

_READ_SECONDS = 0.001
_COMMIT_SECONDS = 0.005


def do_not_wait_for_the_disk(connection: sqlite3.Connection, _record: Any) -> None:
    """Set a new connection up so."""
    connection.execute("PRAGMA synchronous = OFF")


class VirtualTimeDatastore(SqlDatastore):
    """Does what is asked of it in turn, each for real and in a fixed virtual time.

    So its threads change nothing in the order of things. A commit takes ``_COMMIT_SECONDS``, about
    what a disk takes to say that it is durable: what happens meanwhile is seen together next time.
    The real disk is not waited for.
    """

    def __init__(self, writer: Engine, reader: Engine) -> None:
        super().__init__(writer, reader)
        event.listen(writer, "connect", do_not_wait_for_the_disk)
        writer.dispose()  # What is open already does wait.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have nobody else read or write meanwhile, and no time pass."""
        async with self._turn:
            with running_loop().standing_still():
                yield

    async def _write(self, query: Callable[..., T], *arguments: Any) -> T:
        async with self.turn():
            result = await super()._write(query, *arguments)
        await asyncio.sleep(_COMMIT_SECONDS)
        return result

    async def _read(self, query: Callable[..., T], *arguments: Any) -> T:
        async with self.turn():
            result = await super()._read(query, *arguments)
        await asyncio.sleep(_READ_SECONDS)
        return result

    async def _read_row(self, query: Callable[..., T], *arguments: Any) -> T:
        return await self._read(query, *arguments)
