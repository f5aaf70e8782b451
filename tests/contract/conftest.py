"""The real datastore on each kind of database."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from dpip.controller.datastore import SqlDatastore
from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.schema import bring_up_to_date
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres"]

Query = Callable[[str], list[Any]]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with its tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    writer, reader = open_engines(f"sqlite:///{path}", readers=1)
    bring_up_to_date(writer)
    writer.dispose()
    reader.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database with its tables."""
    if request.param == "sqlite":
        path = tmp_path / "dpip.sqlite"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def datastore(database_url: str) -> AsyncIterator[SqlDatastore]:
    datastore = await SqlDatastore.open(database_url)
    yield datastore
    await datastore.close()


@pytest.fixture
async def second_datastore(database_url: str) -> AsyncIterator[SqlDatastore]:
    """Another process's view of the same database."""
    datastore = await SqlDatastore.open(database_url)
    yield datastore
    await datastore.close()


@pytest.fixture
async def new_datastore(
    database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SqlDatastore]:
    """Another database of the same kind, without a row."""
    url = f"sqlite:///{tmp_path}/new.sqlite"
    if make_url(database_url).get_backend_name() == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    datastore = await SqlDatastore.open(url)
    yield datastore
    await datastore.close()


@pytest.fixture
def query(database_url: str) -> Query:
    """Asks the database itself, past the datastore."""
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)

    def ask(statement: str) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.exec_driver_sql(statement))

    return ask
