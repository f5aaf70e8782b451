"""A database that is lost, cut or older than the pictures costs no picture, and is made again."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dpip.data_directory import DataDirectory
from tests.acceptance.pictures import picture
from tests.acceptance.system import LONG_LEASES, System, dpip, environment
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres"]

BEFORE, SINCE = 5, 30
"""Pictures before a backup, and since: many more than a crash leaves."""


class Installation:
    """A system that is started and stopped, and its files."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.data = DataDirectory(directory / "data")
        self.settings = {**LONG_LEASES, **settings}

    def start(self, workers: int = 0) -> System:
        (self.directory / "up.log").unlink(missing_ok=True)
        return System(self.directory, workers=workers, **self.settings)

    def pictures(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.data.images.glob("*/*/*/*.png")}

    def check(self, *options: str, code: int) -> dict[str, Any]:
        env = environment(self.data.path, **self.settings)
        checked = dpip("store", "check", "--json", *options, env=env)
        assert checked.returncode == code, checked.stderr
        found: dict[str, Any] = json.loads(checked.stdout)
        return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_lost_database_is_made_again(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """From the pictures alone, with workloads, owners, filters and results."""
    installation = Installation(tmp_path)
    server: PostgresServer | None = None
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        installation.settings["DPIP_DATABASE_URL"] = server.new_database()
    system = installation.start(workers=2)
    workload = system.api.create(filter="blur:sigma=2", workload_name="a/b")["workload_id"]
    for number in range(BEFORE):
        system.api.push(workload, picture(number))
    before = system.api.until_completed(workload)
    system.process.stop()
    pictures = installation.pictures()
    assert len(pictures) == 2 * BEFORE

    if server:
        installation.settings["DPIP_DATABASE_URL"] = server.new_database()
    else:
        for file in installation.data.path.glob("dpip.db*"):
            file.unlink()
    done = installation.check("--repair", code=0)
    assert (done["workloads"], done["originals"], done["results"]) == (1, BEFORE, BEFORE)
    assert installation.check(code=0)["findings"] == []
    system = installation.start()
    assert system.api.workload(workload) == before
    for image in before["filtered_images"]:
        system.api.pull(image)
    system.process.stop()
    assert installation.pictures() == pictures


@pytest.mark.parametrize("how", ["backup", "truncated"])
def test_rows_that_are_lost_take_no_picture_along(how: str, tmp_path: Path) -> None:
    """The start says so and touches nothing; a repair gives every picture its row again."""
    installation = Installation(tmp_path)
    database = installation.data.database
    system = installation.start()
    workload = system.api.create(filter="blur")["workload_id"]
    for number in range(BEFORE):
        system.api.push(workload, picture(number))
    system.process.stop()  # Which writes all of the log into the database.
    shutil.copy(database, tmp_path / "backup")
    system = installation.start()
    for number in range(SINCE):
        system.api.push(workload, picture(number))
    system.process.kill()
    pictures = installation.pictures()
    if how == "backup":
        for file in installation.data.path.glob("dpip.db*"):
            file.unlink()
        shutil.copy(tmp_path / "backup", database)
    else:
        os.truncate(f"{database}-wal", 0)

    system = installation.start()
    system.process.until_it_says("none was moved")
    assert system.process.stop() == 0
    assert installation.pictures() == pictures
    found = installation.check(code=3)
    assert [each["wrong"] for each in found["findings"]] == ["without_row"] * SINCE
    assert installation.check("--repair", code=0)["originals"] == SINCE
    system = installation.start()
    assert system.api.workload(workload)["counts"]["pending"] == BEFORE + SINCE
    system.process.stop()
    assert installation.pictures() == pictures
