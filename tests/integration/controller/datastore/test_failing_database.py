"""A database that is locked, or whose disk is full."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from dpip.controller.datastore import SqlDatastore, engines, patient_connection, sql_datastore
from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.queries import workloads
from dpip.errors import StorageFull, StorageUnavailable
from dpip.model.ids import new_id
from tests.contract.builders import (
    add_job,
    add_workload,
    build_original,
    build_user,
    build_workload,
)
from tests.contract.small_disk import SmallDisk
from tests.postgres import PostgresServer


@pytest.fixture
async def impatient(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SqlDatastore]:
    """A datastore that does not wait for a lock."""
    monkeypatch.setattr(engines, "_BUSY_SECONDS", 0)
    datastore = await SqlDatastore.open(f"sqlite:///{sqlite_path}")
    yield datastore
    await datastore.close()


@pytest.fixture
def other_writer(sqlite_path: Path) -> Iterator[sqlite3.Connection]:
    """Another program with the same database."""
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as connection:
        yield connection


async def test_a_locked_database_is_unavailable_until_it_is_released(
    impatient: SqlDatastore, other_writer: sqlite3.Connection
) -> None:
    """Writes are refused and leave nothing, reads go on, and afterwards all is as before."""
    user, refused = build_user("alice"), build_user("bob")
    await impatient.add_user(user)
    other_writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        await impatient.add_user(refused)
    assert await impatient.users() == [user]
    other_writer.execute("ROLLBACK")
    assert await impatient.users() == [user]
    await impatient.add_user(refused)
    assert await impatient.users() == [user, refused]


async def test_a_locked_database_is_not_ready(
    impatient: SqlDatastore, other_writer: sqlite3.Connection
) -> None:
    """A datastore that can be read only is not ready, and is ready again after the release."""
    other_writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        await impatient.ready()
    other_writer.execute("ROLLBACK")
    await impatient.ready()


async def test_a_locked_database_cannot_be_opened(
    impatient: SqlDatastore, sqlite_path: Path, other_writer: sqlite3.Connection
) -> None:
    """The error is one that callers expect."""
    other_writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        await SqlDatastore.open(f"sqlite:///{sqlite_path}")


async def fill_with_workloads(datastore: SqlDatastore) -> list[str]:
    """Add workloads until there is no room for another one; ids of those that were answered."""
    kept: list[str] = []
    while len(kept) < 1000:
        workload = build_workload()
        try:
            await datastore.add_workload(workload)
        except StorageFull:
            return kept
        kept.append(workload.id)
    raise AssertionError("the disk does not fill")


async def test_a_full_disk_is_told_and_loses_nothing(small_disk: SmallDisk) -> None:
    """What was answered is there, what was refused is not, and with room again writes work."""
    datastore = await SqlDatastore.open(f"sqlite:///{small_disk.path / 'dpip.sqlite'}")
    job = await add_job(datastore)
    small_disk.fill()
    kept = await fill_with_workloads(datastore)
    with pytest.raises(StorageFull):
        await add_workload(datastore)
    listed = [workload.id for workload in await datastore.workloads(owner_id=None, limit=10_000)]
    assert listed == [*kept[::-1], job.original.workload_id]
    small_disk.make_room()
    workload = await add_workload(datastore)
    await datastore.close()
    again = await SqlDatastore.open(f"sqlite:///{small_disk.path / 'dpip.sqlite'}")
    assert await again.workload(workload.id) == workload
    assert await again.image(job.original.id) == job.original
    await again.close()


async def test_a_disk_without_room_for_a_database_is_full(small_disk: SmallDisk) -> None:
    """Opening says so, and works once there is room."""
    small_disk.fill()
    url = f"sqlite:///{small_disk.path / 'dpip.sqlite'}"
    with pytest.raises(StorageFull):
        await SqlDatastore.open(url)
    small_disk.make_room()
    datastore = await SqlDatastore.open(url)
    await datastore.ready()
    await datastore.close()


async def test_lost_connections_are_made_again(postgres: PostgresServer) -> None:
    """When the server has ended every connection, the next read and write get new ones."""
    url = postgres.new_database()
    datastore = await SqlDatastore.open(url)
    workload = await add_workload(datastore)
    assert await datastore.workload(workload.id) == workload
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        ended = connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        assert list(ended) == [True, True]
    assert await datastore.workload(workload.id) == workload
    await add_job(datastore, workload)
    await datastore.close()


@pytest.fixture
async def watchful(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SqlDatastore]:
    """A datastore that soon has doubts about a server that does not answer."""
    monkeypatch.setattr(patient_connection, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(engines, "_CONNECT_SECONDS", 2)
    datastore = await SqlDatastore.open(postgres.new_database())
    yield datastore
    await datastore.close()


async def test_a_frozen_server_is_unavailable_until_it_is_thawed(
    watchful: SqlDatastore, postgres: PostgresServer
) -> None:
    """Reads and writes are refused, over connections of before too, and then go on."""
    workload = await add_workload(watchful)
    assert await watchful.workload(workload.id) == workload
    with postgres.frozen():
        outcomes = await asyncio.gather(
            watchful.workload(workload.id), add_workload(watchful), return_exceptions=True
        )
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
    assert await watchful.workload(workload.id) == workload
    await add_job(watchful, workload)


async def test_a_server_that_freezes_before_the_commit_ends_the_write(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the write is told; the connection is given up."""
    monkeypatch.setattr(patient_connection, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(engines, "_CONNECT_SECONDS", 2)
    engine, reader = open_engines(postgres.new_database(), readers=1)
    reader.dispose()
    connection = engine.connect()
    transaction = connection.begin()
    connection.execute(text("SELECT 1"))
    with postgres.frozen(), pytest.raises(OperationalError):
        transaction.commit()
    connection.close()
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


async def test_a_server_at_work_is_waited_for(watchful: SqlDatastore) -> None:
    """However long it takes: it would take a connection, so it is there."""
    with watchful._reader.connect() as connection:
        assert connection.scalar(text("SELECT 1 FROM pg_sleep(1)")) == 1


def test_a_commit_is_durable_whatever_the_servers_default_is(postgres: PostgresServer) -> None:
    """That of the tests answers before it has written."""
    writer, reader = open_engines(postgres.new_database(), readers=1)
    with writer.connect() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
    writer.dispose()
    reader.dispose()


async def test_a_read_that_takes_too_long_is_given_up(
    impatient: SqlDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for minutes behind others who wait for a server."""
    monkeypatch.setattr(sql_datastore, "_LONGEST_READ_SECONDS", 0)
    with pytest.raises(StorageUnavailable, match="not answer in time"):
        await impatient.users()


async def test_an_image_about_to_be_committed_is_waited_for(postgres: PostgresServer) -> None:
    """A process may be gone, and PostgreSQL have its commit still to do."""
    url = postgres.new_database()
    datastore = await SqlDatastore.open(url)
    image = build_original(await add_workload(datastore))
    other, reader = open_engines(url, readers=1)
    with reader.connect() as connection, other.begin() as theirs:
        workloads.add_original(theirs, image, new_id(), None)
        asking = asyncio.create_task(datastore.recorded_images([image.id]))
        while not connection.scalar(text("SELECT 1 FROM pg_locks WHERE NOT granted")):
            await asyncio.sleep(0.01)
    assert await asking == {image.id}
    await datastore.close()
    other.dispose()
    reader.dispose()
