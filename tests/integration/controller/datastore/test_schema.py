"""Migrations, and opening a database that is new or old."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from dpip.controller.datastore import SqlDatastore, migrations
from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.queries.workloads import image
from dpip.controller.datastore.schema import bring_up_to_date
from dpip.controller.datastore.tables import metadata
from dpip.errors import CannotStart, StorageUnavailable
from tests.contract.builders import add_workload, build_user

ROUNDS, OPENERS = 20, 4

OPEN_WHEN_TOLD = """
import asyncio, sys
from dpip.controller.datastore import SqlDatastore

async def main():
    datastore = await SqlDatastore.open(sys.argv[1])
    await datastore.ready()
    await datastore.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


@pytest.fixture
def engine(empty_database: str) -> Iterator[Engine]:
    writer, reader = open_engines(empty_database, readers=1)
    yield writer
    writer.dispose()
    reader.dispose()


def test_migrations_make_the_tables_that_queries_use(engine: Engine) -> None:
    """Nothing is missing, surplus or of another type."""
    bring_up_to_date(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_are_made_as_declared(engine: Engine) -> None:
    """Their condition, which a comparison of tables leaves out, is there."""
    bring_up_to_date(engine)
    statement = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        if engine.dialect.name == "sqlite"
        else "SELECT indexname, indexdef FROM pg_indexes"
    )
    with engine.connect() as connection:
        indexes = {name: sql or "" for name, sql in connection.execute(text(statement))}
    for name in (
        "jobs_pending_of_workload",
        "jobs_leased",
        "workloads_active",
        "workers_quarantined",
    ):
        assert "WHERE" in indexes[name]


def test_the_head_is_the_newest_revision() -> None:
    """The constant that is compared at a start follows the files."""
    directory = Path(migrations.__file__).parent
    assert ScriptDirectory(str(directory)).get_heads() == [migrations.HEAD]


def test_bringing_up_to_date_again_changes_nothing(engine: Engine) -> None:
    """The revision is kept, once."""
    bring_up_to_date(engine)
    bring_up_to_date(engine)
    with engine.connect() as connection:
        revisions = list(connection.execute(text("SELECT version_num FROM alembic_version")))
    assert revisions == [(migrations.HEAD,)]


def test_what_is_stored_already_is_counted(engine: Engine) -> None:
    """The bytes of each workload, in a database of before they were counted."""
    _upgrade(engine, "0002")
    with engine.begin() as connection:
        for workload in ("full", "empty"):
            connection.execute(
                text(
                    "INSERT INTO workloads (id, name, owner_id, pipeline, created_at, started,"
                    " pending, leased, done, failed, settled)"
                    " VALUES (:id, '', 'o', '', 0, false, 0, 0, 0, 0, 0)"
                ),
                {"id": workload},
            )
        for original, size in (("a", 2**40), ("b", 5)):
            connection.execute(
                text(
                    "INSERT INTO images (id, workload_id, kind, format, width, height, frames,"
                    " bands, depth, size, sha256, created_at)"
                    " VALUES (:id, 'full', 'original', 'png', 1, 1, 1, 1, 8, :size, '', 0)"
                ),
                {"id": original, "size": size},
            )
    bring_up_to_date(engine)
    with engine.connect() as connection:
        counted = connection.execute(text("SELECT id, stored_bytes FROM workloads"))
        assert {row.id: row.stored_bytes for row in counted} == {"full": 2**40 + 5, "empty": 0}


def test_results_of_before_there_were_notes_have_none(engine: Engine) -> None:
    """A database of an earlier version is read as it was."""
    _upgrade(engine, "0007")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (id, name, owner_id, pipeline, created_at, started,"
                " pending, leased, done, failed, settled) VALUES ('w', '', 'o', '', 0, false,"
                " 0, 0, 0, 0, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO images (id, workload_id, kind, format, width, height, frames,"
                " bands, depth, size, sha256, created_at)"
                " VALUES ('i', 'w', 'filtered', 'png', 1, 1, 1, 1, 8, 1, '', 0)"
            )
        )
    bring_up_to_date(engine)
    with engine.connect() as connection:
        found = image(connection, "i")
        assert found
        assert found.notes == ()


def _upgrade(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_a_migration_that_fails_leaves_nothing(engine: Engine) -> None:
    """A half-made set of tables would be in the way of the next try."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE workers (name TEXT)"))
    with pytest.raises(Exception, match="workers"):
        bring_up_to_date(engine)
    assert inspect(engine).get_table_names() == ["workers"]


async def test_tasks_that_open_a_new_database_together_all_succeed(empty_database: str) -> None:
    """One makes the tables, the others wait for it."""
    datastores = await asyncio.gather(*(SqlDatastore.open(empty_database) for _ in range(6)))
    workload = await add_workload(datastores[0])
    for datastore in datastores:
        assert await datastore.workload(workload.id) == workload
        await datastore.close()


def test_processes_that_open_a_new_database_together_all_succeed(empty_database: str) -> None:
    """They are ready before the first one is told to open it."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_WHEN_TOLD, empty_database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outcomes


def test_a_new_database_may_be_opened_while_another_sets_it_up(tmp_path: Path) -> None:
    """Whoever finds it locked at its first statement waits for its turn."""

    def open_it(_: int) -> None:
        begin.wait()
        writer, reader = open_engines(url, readers=1)
        bring_up_to_date(writer)
        writer.dispose()
        reader.dispose()

    for number in range(ROUNDS):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        begin = threading.Barrier(OPENERS)
        with ThreadPoolExecutor(OPENERS) as executor:
            list(executor.map(open_it, range(OPENERS)))


async def test_an_existing_database_is_opened_as_it_is(empty_database: str) -> None:
    """What is in it stays."""
    user = build_user()
    for _ in range(2):
        datastore = await SqlDatastore.open(empty_database)
        if not await datastore.users():
            await datastore.add_user(user)
        await datastore.close()
    datastore = await SqlDatastore.open(empty_database)
    assert await datastore.users() == [user]
    await datastore.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/dpip", "://"])
async def test_a_url_of_no_known_database_is_refused(url: str) -> None:
    """The operator is told what is supported, or that it is no URL."""
    with pytest.raises(CannotStart):
        await SqlDatastore.open(url)


async def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A directory that is not there is told as callers expect it."""
    with pytest.raises(StorageUnavailable):
        await SqlDatastore.open(f"sqlite:///{tmp_path / 'missing' / 'dpip.sqlite'}")


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Nobody listens on the socket."""
    pytest.importorskip("psycopg")
    with pytest.raises(StorageUnavailable):
        await SqlDatastore.open(f"postgresql://dpip@/dpip?host={tmp_path}")
