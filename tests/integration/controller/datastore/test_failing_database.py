"""A database that is locked, or whose disk is full."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from dpip.controller.datastore import SqlDatastore, engines
from dpip.errors import StorageFull, StorageUnavailable
from tests.contract.builders import add_job, add_workload, build_user, build_workload
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
