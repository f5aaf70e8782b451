"""How many events of a kind there were in each second of the last minute, for all processes.

Clocks of several machines may differ by seconds: what another one counts in the near future counts
too.
"""

from sqlalchemy import Connection, bindparam, delete, select, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.upsert import insert_into
from dpip.controller.datastore.tables import recent_events
from dpip.model.rate import MINUTE, Count

_RECENT = Prepared(
    select(recent_events.c.second, recent_events.c.events).where(
        recent_events.c.key == bindparam("of_key"),
        recent_events.c.second.between(bindparam("after"), bindparam("before")),
    )
)
_FORGET = Prepared(delete(recent_events).where(recent_events.c.second < bindparam("before")))
_TAKE_BACK = Prepared(
    update(recent_events)
    .where(recent_events.c.key == bindparam("of_key"), recent_events.c.second == bindparam("then"))
    .values(events=recent_events.c.events - 1)
)


def recent(connection: Connection, key: str, now: float) -> list[Count]:
    """The events of ``key`` that may still count."""
    span = {"of_key": key, "after": int(now) - MINUTE - 1, "before": int(now) + MINUTE}
    return [Count(row.second, row.events) for row in _RECENT.rows(connection, span)]


def count(connection: Connection, key: str, now: float) -> None:
    """Count an event of ``key``, and forget what no longer counts for anybody."""
    _FORGET.run(connection, {"before": int(now) - 2 * MINUTE})
    row = insert_into(connection, recent_events).values(key=key, second=int(now), events=1)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["key", "second"],
            set_={"events": recent_events.c.events + 1},
        )
    )


def take_back(connection: Connection, key: str, counted_at: float) -> None:
    """Count an event of ``key`` no longer."""
    _TAKE_BACK.run(connection, {"of_key": key, "then": int(counted_at)})
