"""Brings the tables of a database to the newest revision."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from dpip.controller.datastore.migrations import HEAD
from dpip.errors import CannotStart

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_OF_DPIP = 0x64706970


def bring_up_to_date(engine: Engine) -> None:
    """Apply the revisions that are missing; processes that start together do it in turn.

    Raises ``CannotStart`` for a database of a later version.
    """
    with engine.begin() as connection:  # On SQLite this takes the lock of the one writer.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_OF_DPIP})
        if _revision(connection) != HEAD:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade(connection: Connection) -> None:
    # Imported here because a database is up to date at most starts.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:  # The revision that the database is at is not known here.
        raise CannotStart(
            part="The datastore",
            reason="the database was made by a later version of DPIP; install that one or a later",
        ) from error
