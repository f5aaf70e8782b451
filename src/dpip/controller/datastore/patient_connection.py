"""A connection to PostgreSQL that waits for a server at work, and not for one fallen silent."""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")

_SILENT_SECONDS = 5.0
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
"""A commit is on the disk before it is answered, whatever the server's default is."""


class PatientConnection(psycopg.Connection[Any]):
    """After some seconds without an answer it tries whether the server takes a connection.

    A server that does is at work on something large. One that does not is frozen or cut off, and
    nothing else may ever tell: the connection is closed, and the error of the trial raised.
    """

    _parameters: dict[str, Any]

    @classmethod
    def open(cls, parameters: dict[str, Any]) -> "PatientConnection":
        """Connect with ``parameters``, among them a ``connect_timeout``."""
        connection = cls.connect(**parameters)
        connection._parameters = parameters
        connection.execute(_DURABLE)
        connection.commit()
        return connection

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        """Run what the driver waits for, with an eye on the server."""
        return super().wait(self._watching(gen), *arguments, **options)

    def _watching(self, gen: PQGen[T]) -> Generator[Any, Any, T]:
        try:
            awaited = next(gen)
            look_at = time.monotonic() + _SILENT_SECONDS
            while True:
                ready = yield awaited  # Comes back several times a second, with nothing too.
                if not ready and time.monotonic() > look_at:
                    self._look()
                    look_at = time.monotonic() + _SILENT_SECONDS
                awaited = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _look(self) -> None:
        try:
            psycopg.connect(**self._parameters).close()
        except psycopg.Error:
            self.close()
            raise
