"""Who is told to be the administrator, and what is said of settings that have no effect."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dpip.api.passwords import hash_password
from dpip.compose.administrator import Administrator, ensure_administrator
from dpip.config import Settings
from dpip.controller.datastore import SqlDatastore
from dpip.data_directory import DataDirectory

PASSWORD = "correct horse"


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


@pytest.fixture
async def datastore(data: DataDirectory) -> AsyncIterator[SqlDatastore]:
    datastore = await SqlDatastore.open(data.database_url)
    yield datastore
    await datastore.close()


@pytest.fixture
def start(datastore: SqlDatastore, data: DataDirectory) -> Any:
    """Starts with settings; who the administrator is, and what is warned about."""

    async def start(**settings: Any) -> tuple[Administrator, list[str]]:
        with capture_logs() as logs:
            administrator = await ensure_administrator(datastore, Settings(**settings), data)
        return administrator, [line["event"] for line in logs]

    return start


async def test_each_start_says_where_the_generated_password_lies(
    start: Any, data: DataDirectory
) -> None:
    """It is shown at the first alone."""
    file = data.admin_password_file
    first, _ = await start()
    assert first.new_password == file.read_text().strip()
    assert await start() == (Administrator(name="admin", password_file=file), [])


async def test_a_file_with_a_former_password_is_not_named(
    start: Any, datastore: SqlDatastore
) -> None:
    """Nobody could log in with it."""
    await start()
    await datastore.set_password("admin", hash_password(PASSWORD))
    assert await start() == (Administrator(name="admin"), [])


async def test_a_password_that_is_of_no_effect_is_warned_about(
    start: Any, data: DataDirectory
) -> None:
    """The one that was set stays; the same again is no reason to warn."""
    assert await start(admin_password=PASSWORD) == (Administrator(name="admin"), [])
    assert await start(admin_password=PASSWORD) == (Administrator(name="admin"), [])
    administrator, (warning,) = await start(admin_password="another one")
    assert administrator == Administrator(name="admin")
    assert "DPIP_ADMIN_PASSWORD" in warning
    assert "dpip user passwd" in warning
    assert not data.admin_password_file.exists()


async def test_the_administrator_that_there_is_is_named(start: Any) -> None:
    """Whatever the settings say."""
    await start(admin_user="boss", admin_password=PASSWORD)
    assert await start() == (Administrator(name="boss"), [])
    administrator, (warning,) = await start(admin_user="other", admin_password=PASSWORD)
    assert administrator.name == "boss"
    assert "no effect" in warning
