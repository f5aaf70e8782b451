"""Connections to the database, as each kind of database wants them."""

import sqlite3
import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from dpip.errors import CannotStart

_BUSY_SECONDS = 5
_LOOK_AGAIN_SECONDS = 0.01
_CONNECT_SECONDS = 5

_READING: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
"""A read is one statement, which sees one state of the database without a transaction."""


def open_engines(url: str, *, readers: int) -> tuple[Engine, Engine]:
    """Return an engine for the one writer and one for ``readers`` readers.

    Raises ``CannotStart`` for a URL that is none, or of another kind of database.
    """
    parsed = _parsed(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(url, 1), _sqlite(url, readers, **_READING)
        case "postgresql":
            return _postgresql(parsed, 1), _postgresql(parsed, readers, **_READING)
        case other:
            raise CannotStart(
                part="The datastore",
                reason=f"{other!r} is not supported; use a sqlite:/// or postgresql:// URL",
            )


def without_password(url: str) -> str:
    """``url`` as it may be shown. Raises ``CannotStart`` for one that is none."""
    shown = _parsed(url).difference_update_query(["password", "sslpassword"])
    return shown.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise CannotStart(part="The datastore", reason=f"{url!r} is no database URL") from error


def _postgresql(url: URL, connections: int, **options: Any) -> Engine:
    # Imported here because psycopg is an extra.
    from dpip.controller.datastore.patient_connection import PatientConnection

    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS},
        **options,
    )

    @event.listens_for(engine, "do_connect")
    def connect(
        _dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]
    ) -> PatientConnection:
        return PatientConnection.open(parameters)

    return engine


def _sqlite(url: str, connections: int, **options: Any) -> Engine:
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        **options,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # Transactions begin where SQLAlchemy begins them, not where the driver guesses.
        connection.isolation_level = None
        _use_write_ahead_log(connection)
        # A commit is on the disk before it is answered, after a loss of power too.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    if options != _READING:

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: Connection) -> None:
            # The lock of the one writer is taken at once, so that it never has to be upgraded.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # While another process changes the mode of a new database, SQLite does not wait for it as it
    # does for other locks.
    give_up_at = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up_at:
                raise
            time.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return
