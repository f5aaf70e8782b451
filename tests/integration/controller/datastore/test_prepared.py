"""Prepared statements go past SQLAlchemy, and nothing that it promises gets lost by that."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.prepared import Blanks, Prepared
from dpip.controller.datastore.tables import leadership, metadata

ADD = Prepared(insert(leadership).values(part=bindparam("of_part"), term=1, beat=0))
BEATS = Prepared(select(leadership.c.part, leadership.c.beat).order_by(leadership.c.part))
BEAT_OF = Prepared(select(leadership.c.beat).where(leadership.c.part == bindparam("wanted")))
SET_BEAT = Prepared(
    update(leadership)
    .where(leadership.c.part == bindparam("wanted"))
    .values(beat=bindparam("fresh"))
)


@pytest.fixture
def engines(empty_database: str) -> Iterator[tuple[Engine, Engine]]:
    """A writer and a reader of a database with tables."""
    writer, reader = open_engines(empty_database, readers=1)
    metadata.create_all(writer)
    yield writer, reader
    writer.dispose()
    reader.dispose()


def test_rows_are_found_changed_and_read_by_name(engines: tuple[Engine, Engine]) -> None:
    """Blanks are filled, and constants are in the statement; none found is none."""
    writer, reader = engines
    with writer.begin() as connection:
        for part in ("a", "b"):
            assert ADD.run(connection, {"of_part": part}) == 1
        SET_BEAT.run_each(connection, [{"wanted": "a", "fresh": 7}, {"wanted": "b", "fresh": 8}])
        assert SET_BEAT.run(connection, {"wanted": "c", "fresh": 9}) == 0
    with reader.connect() as connection:
        assert [(row.part, row.beat) for row in BEATS.rows(connection, {})] == [("a", 7), ("b", 8)]
        assert BEAT_OF.value(connection, {"wanted": "b"}) == 8
        assert BEAT_OF.value(connection, {"wanted": "c"}) is None
        assert BEAT_OF.row(connection, {"wanted": "c"}) is None


def test_what_is_undone_is_undone(engines: tuple[Engine, Engine]) -> None:
    """The statements are part of the transaction, and of the savepoint."""
    writer, _ = engines
    with writer.begin() as connection:
        ADD.run(connection, {"of_part": "kept"})
        savepoint = connection.begin_nested()
        ADD.run(connection, {"of_part": "undone"})
        savepoint.rollback()
    with writer.connect() as connection, connection.begin() as transaction:
        ADD.run(connection, {"of_part": "undone too"})
        transaction.rollback()
    with writer.begin() as connection:
        assert [row.part for row in BEATS.rows(connection, {})] == ["kept"]


@pytest.mark.parametrize("add_again", [ADD.run, lambda *again: ADD.run_each(again[0], again[1:])])
def test_an_error_is_one_of_sqlalchemy_and_shows_no_values(
    engines: tuple[Engine, Engine], add_again: Callable[[Connection, Blanks], object]
) -> None:
    """Hashes of tokens are among the values."""
    writer, _ = engines
    twice = {"of_part": "secret"}
    with writer.begin() as connection:
        ADD.run(connection, twice)
    with writer.connect() as connection, pytest.raises(IntegrityError) as error:
        add_again(connection, twice)
    assert error.value.params is None
    assert not error.value.connection_invalidated


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_a_connection_that_is_lost_is_not_used_again(engines: tuple[Engine, Engine]) -> None:
    """It is told as lost, and the next one works."""
    writer, reader = engines
    with reader.connect() as lost:
        mine = lost.scalar(text("SELECT pg_backend_pid()"))
        with writer.begin() as other:
            other.execute(text("SELECT pg_terminate_backend(:mine, 5000)"), {"mine": mine})
        with pytest.raises(OperationalError) as error:
            BEATS.rows(lost, {})
        assert error.value.connection_invalidated
        assert lost.invalidated
    with reader.connect() as fresh:
        assert BEATS.rows(fresh, {}) == []
