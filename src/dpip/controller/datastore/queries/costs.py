"""What jobs take, as learned from those that are done."""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select

from dpip.controller.datastore.queries.upsert import insert_into
from dpip.controller.datastore.tables import cost_models


def all_cost_models(connection: Connection) -> dict[str, str]:
    return {row.key: row.model for row in connection.execute(select(cost_models))}


def keep_cost_models(connection: Connection, models: Mapping[str, str]) -> None:
    connection.execute(
        insert_into(connection, cost_models)
        .values(key=bindparam("of_key"), model=bindparam("fresh"))
        .on_conflict_do_update(index_elements=["key"], set_={"model": bindparam("fresh")}),
        [{"of_key": key, "fresh": model} for key, model in sorted(models.items())],
    )
