"""Databases of each kind, empty and with their tables."""

from pathlib import Path

import pytest

from tests.contract.small_disk import small_disk
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres", "small_disk"]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database in which nothing is yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database(migrated=False)


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return tmp_path / "dpip.sqlite"
