"""Who leads, by a compare-and-set on the term."""

from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.sql.dml import ReturningInsert

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.upsert import insert_into
from dpip.controller.datastore.tables import leadership
from dpip.errors import Deposed
from dpip.model.leadership import Leader

_LEADER = select(leadership).where(leadership.c.part == bindparam("wanted"))
_OF_TERM = update(leadership).where(
    leadership.c.part == bindparam("wanted"), leadership.c.term == bindparam("of_term")
)
_NEXT_TERM = _OF_TERM.values(
    term=leadership.c.term + 1, holder=bindparam("by_holder"), beat=0
).returning(leadership.c.term)
_BEAT = _OF_TERM.where(leadership.c.holder.is_not(None)).values(beat=leadership.c.beat + 1)
_RESIGN = _OF_TERM.values(holder=None)
# Whoever takes the lead waits until the transaction that has looked is over.
_PRESENT_TERM = Prepared(
    select(leadership.c.term)
    .where(leadership.c.part == bindparam("wanted"))
    .with_for_update(read=True)
)


def leader(connection: Connection, part: str) -> Leader:
    row = connection.execute(_LEADER, {"wanted": part}).one_or_none()
    return Leader(term=row.term, holder=row.holder, beat=row.beat) if row else Leader()


def take_lead(connection: Connection, part: str, holder: str, after_term: int) -> int | None:
    take = _NEXT_TERM if after_term else _first_term(connection)
    term: int | None = connection.scalar(
        take, {"wanted": part, "by_holder": holder, "of_term": after_term}
    )
    return term


def _first_term(connection: Connection) -> ReturningInsert[Any]:
    return (
        insert_into(connection, leadership)
        .values(part=bindparam("wanted"), term=1, holder=bindparam("by_holder"), beat=0)
        .on_conflict_do_nothing()
        .returning(leadership.c.term)
    )


def keep_lead(connection: Connection, part: str, term: int) -> bool:
    return connection.execute(_BEAT, {"wanted": part, "of_term": term}).rowcount > 0


def resign(connection: Connection, part: str, term: int) -> None:
    connection.execute(_RESIGN, {"wanted": part, "of_term": term})


def check_term(connection: Connection, part: str, term: int) -> None:
    """Raise ``Deposed`` unless ``term`` is the present one, and stays so in this transaction."""
    present = _PRESENT_TERM.value(connection, {"wanted": part}) or 0
    if present != term:
        raise Deposed(term=term, present=present)
