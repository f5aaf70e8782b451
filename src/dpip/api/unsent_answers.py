"""What answers hold in memory while their clients take their time to read them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PIECE = 128 * 1024
"""Bytes that are given to a connection at once."""

MOST_HELD = 128 * 1024 * 1024
"""Bytes of all answers together."""


class UnsentAnswers:
    """Bounds what the answers of all connections hold that is not yet given to them.

    Beyond ``limit`` bytes the connection is cut that has waited longest for its client to read
    on; an answer alone may have any size.
    """

    def __init__(self, limit: int = MOST_HELD) -> None:
        self._limit = limit
        self._held: OrderedDict[asyncio.Transport, int] = OrderedDict()
        """Bytes by connection. The client of the first one has read nothing for longest."""
        self.held = 0
        """Bytes, of all together."""

    @contextmanager
    def holding(self, connection: asyncio.Transport, size: int) -> Iterator[Callable[[int], None]]:
        """Count ``size`` bytes of an answer in for the length of the block, and make room for them.

        Yields what is to be told of bytes that are given to the connection.
        """
        self._held[connection] = self._held.get(connection, 0) + size
        self.held += size
        while self.held > self._limit and len(self._held) > 1:
            slowest = next(iter(self._held))
            self._let_go(slowest)
            slowest.abort()

        def given(size: int) -> None:
            if connection in self._held:
                self._held[connection] -= size
                self._held.move_to_end(connection)
                self.held -= size

        try:
            yield given
        finally:
            self._let_go(connection)

    def _let_go(self, connection: asyncio.Transport) -> None:
        self.held -= self._held.pop(connection, 0)
