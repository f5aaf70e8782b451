"""Failed logins of the last minute, and the addresses that logins have succeeded from."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, select, text

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries import rates
from dpip.controller.datastore.queries.upsert import insert_into
from dpip.controller.datastore.tables import known_addresses
from dpip.model.rate import Bound

_KNOWN = Prepared(
    select(known_addresses.c.pair).where(known_addresses.c.pair == bindparam("wanted"))
)
_FORGET = Prepared(delete(known_addresses).where(known_addresses.c.at < bindparam("before")))
_KNOWN_SECONDS = 90 * 86_400
_LOCK = text("SELECT pg_advisory_xact_lock(5301175)")
"""One lock for all logins: each hashes a password, so there are few."""


def knows_address(connection: Connection, pair: str) -> bool:
    return _KNOWN.row(connection, {"wanted": pair}) is not None


def waits(connection: Connection, bounds: Sequence[Bound], now: float) -> list[int]:
    return [bound.wait(rates.recent(connection, bound.key, now), now) for bound in bounds]


def begin_login(connection: Connection, bounds: Sequence[Bound], now: float) -> list[int]:
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK)
    to_wait = waits(connection, bounds, now)
    if not any(to_wait):
        for bound in bounds:
            rates.count(connection, bound.key, now)
    return to_wait


def end_login(connection: Connection, pair: str, bounds: Sequence[Bound], began_at: float) -> None:
    for bound in bounds:
        rates.take_back(connection, bound.key, began_at)
    _FORGET.run(connection, {"before": began_at - _KNOWN_SECONDS})
    row = insert_into(connection, known_addresses).values(pair=pair, at=began_at)
    connection.execute(
        row.on_conflict_do_update(index_elements=["pair"], set_={"at": row.excluded.at})
    )
