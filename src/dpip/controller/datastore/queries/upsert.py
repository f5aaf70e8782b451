"""Inserts that may meet a row that is there already, of which each dialect has its own."""

from importlib import import_module
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert


def insert_into(connection: Connection, table: Table) -> "Insert":
    """Begin an insert that can go on with ``on_conflict_…``, whose words are the same in both.

    No process loads more than the dialect of its own database.
    """
    insert: Insert = import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(table)
    return insert
