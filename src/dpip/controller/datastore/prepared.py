"""Prepared statements: what runs for every job goes to the driver without a detour."""

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

Blanks = dict[str, Any]


class Prepared:
    """A statement with named blanks, whose SQL is written once for each kind of database.

    SQLAlchemy writes the SQL, begins and ends transactions, and keeps the connections. It takes no
    part in the execution, on which it would spend several times what the database does. So values
    go in and come out as the driver has them: a boolean of SQLite is a number. Errors are
    SQLAlchemy's all the same.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._written: dict[str, tuple[str, Blanks]] = {}
        self._row: Callable[[Iterable[Any]], Any] | None = None

    def rows(self, connection: Connection, blanks: Blanks) -> list[Any]:
        """Return all rows, whose columns are found by name."""
        cursor, found = self._execute(connection, blanks)
        if self._row is None:
            names = [column[0] for column in cursor.description]
            self._row = namedtuple("Row", names)._make  # type: ignore[attr-defined]
        return list(map(self._row, found))

    def row(self, connection: Connection, blanks: Blanks) -> Any:
        """Return the one row, or ``None``."""
        found = self.rows(connection, blanks)
        return found[0] if found else None

    def value(self, connection: Connection, blanks: Blanks) -> Any:
        """Return the one value of the one row, or ``None``."""
        _, found = self._execute(connection, blanks)
        return found[0][0] if found else None

    def run(self, connection: Connection, blanks: Blanks) -> int:
        """Change rows; how many."""
        cursor, _ = self._execute(connection, blanks)
        changed: int = cursor.rowcount
        return changed

    def run_each(self, connection: Connection, many: Sequence[Blanks]) -> None:
        """Change rows once for each of ``many``."""
        sql, constants = self._sql_for(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            cursor.executemany(sql, [constants | blanks for blanks in many])
        except connection.dialect.loaded_dbapi.Error as error:
            raise _explained(error, connection, sql) from error

    def _execute(self, connection: Connection, blanks: Blanks) -> tuple[Any, list[Any]]:
        sql, constants = self._sql_for(connection.dialect)
        cursor: Any = connection.connection.cursor()
        try:
            cursor.execute(sql, constants | blanks)
            return cursor, cursor.fetchall() if cursor.description else []
        except connection.dialect.loaded_dbapi.Error as error:
            raise _explained(error, connection, sql) from error

    def _sql_for(self, dialect: Dialect) -> tuple[str, Blanks]:
        written = self._written.get(dialect.name)
        if written is None:
            # By name, as the blanks come; SQLAlchemy would ask SQLite by position.
            named = sqlite.dialect(paramstyle="named") if dialect.name == "sqlite" else dialect
            compiled = self._statement.compile(dialect=named)  # type: ignore[attr-defined]
            written = self._written[dialect.name] = (str(compiled), dict(compiled.params))
        return written


def _explained(error: Exception, connection: Connection, sql: str) -> BaseException:
    """Return what SQLAlchemy makes of a driver's error; a connection that is lost is let go."""
    dialect = connection.dialect
    # Values stay out of it, as hashes of tokens are among them.
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if is_lost:
        connection.invalidate(error)
    return DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
