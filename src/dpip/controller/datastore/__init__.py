"""The datastore in SQL: SQLite by default, PostgreSQL by URL, with the same queries."""

from dpip.controller.datastore.sql_datastore import SqlDatastore

__all__ = ["SqlDatastore"]
