"""How many events of a kind there were in each second of the last minute, for all processes.

Clocks of several machines may differ by seconds: what another one counts in the near future counts
too.
"""

from sqlalchemy import Connection, bindparam, delete, select

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.upsert import insert_into
from dpip.controller.datastore.tables import recent_events
from dpip.model.quota import MINUTE, Count

_RECENT = Prepared(
    select(recent_events.c.second, recent_events.c.events).where(
        recent_events.c.key == bindparam("of_key"),
        recent_events.c.second.between(bindparam("after"), bindparam("before")),
    )
)
_FORGET = Prepared(delete(recent_events).where(recent_events.c.second < bindparam("before")))


def recent(connection: Connection, key: str, now: float) -> list[Count]:
    """The events of ``key`` that may still count."""
    span = {"of_key": key, "after": int(now) - MINUTE - 1, "before": int(now) + MINUTE}
    return [Count(row.second, row.events) for row in _RECENT.rows(connection, span)]


def count(connection: Connection, key: str, now: float, events: int = 1) -> None:
    """Count events of ``key``, and forget what no longer counts for anybody."""
    _FORGET.run(connection, {"before": int(now) - 2 * MINUTE})
    row = insert_into(connection, recent_events).values(key=key, second=int(now), events=events)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["key", "second"],
            set_={"events": recent_events.c.events + row.excluded.events},
        )
    )
