"""A database and an image directory that do not belong together: no start, and no picture lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dpip.data_directory import DataDirectory
from tests.acceptance.pictures import picture
from tests.acceptance.system import System, dpip, environment
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres"]

COUNT = 5


class Installation:
    """A data directory with pictures that were uploaded, and the database that knows them."""

    def __init__(self, directory: Path, **settings: str) -> None:
        directory.mkdir()
        self.directory = directory
        self.data = DataDirectory(directory / "data")
        self.settings = settings
        with_pictures = self.start()
        api = with_pictures.api
        self.workload_id = api.create()["workload_id"]
        for number in range(COUNT):
            api.push(self.workload_id, picture(number))
        with_pictures.process.stop()

    def start(self) -> System:
        (self.directory / "up.log").unlink(missing_ok=True)
        return System(self.directory, workers=0, **self.settings)

    def works(self) -> bool:
        """Whether it starts, with all pictures that were ever uploaded."""
        system = self.start()
        known = system.api.workload(self.workload_id)["counts"]["pending"]
        system.process.stop()
        return bool(known == len(self.files()) == COUNT)

    def files(self) -> dict[Path, bytes]:
        found = self.data.images.glob("*/*/original/*")
        return {path: path.read_bytes() for path in found}

    def is_refused(self, **settings: str) -> str:
        """Why a start is refused, by each command that opens the store; nothing was touched."""
        before = self.files()
        env = environment(self.data.path, **{**self.settings, **settings})
        for command in (("up", "--controller-port", "0", "--workers", "0"), ("api",)):
            refused = dpip(*command, "--port", "0", env=env)
            assert refused.returncode == 1
            assert "Traceback" not in refused.stderr
            for name in (
                str(self.data.images),
                "'dpip store adopt'",
                "'dpip store check --repair'",
            ):
                assert name in refused.stderr
        assert self.files() == before
        return refused.stderr


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Returns the URL of a database without a table."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return lambda: server.new_database(migrated=False)
    names = iter("abc")
    return lambda: f"sqlite:///{tmp_path}/{next(names)}.db"


def test_a_start_with_the_wrong_partner_is_refused(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """A new database, images that are gone, those of another system; the right ones are taken."""
    installation = Installation(tmp_path / "one", DPIP_DATABASE_URL=new_database())
    said = installation.is_refused(DPIP_DATABASE_URL=new_database())
    assert "store id none, workloads with pictures: 0" in said
    aside = installation.data.images.rename(tmp_path / "aside")
    assert "store id none, workloads with pictures: 0" in installation.is_refused()
    installation.data.images.rename(tmp_path / "empty")
    other = Installation(tmp_path / "two", DPIP_DATABASE_URL=new_database())
    other.data.images.rename(installation.data.images)
    installation.is_refused()
    installation.data.images.rename(tmp_path / "others")
    aside.rename(installation.data.images)
    assert installation.works()


def test_adopted_ones_start(new_database: Callable[[], str], tmp_path: Path) -> None:
    """A person has decided; but not while the system runs."""
    installation = Installation(tmp_path / "one", DPIP_DATABASE_URL=new_database())
    fresh = {"DPIP_DATABASE_URL": new_database()}
    installation.is_refused(**fresh)
    env = environment(installation.data.path, **fresh)
    running = installation.start()
    refused = dpip("store", "adopt", env=env)
    running.process.stop()
    assert refused.returncode == 1
    assert "stop" in refused.stderr
    adopted = dpip("store", "adopt", env=env)
    assert adopted.returncode == 0, adopted.stderr
    installation.is_refused()  # The former database.
    installation.settings = fresh
    before = installation.files()
    installation.start().process.until_it_says("none was moved").stop()
    assert installation.files() == before


def test_a_password_is_not_shown(postgres: PostgresServer, tmp_path: Path) -> None:
    """Where the database is, is."""
    installation = Installation(tmp_path / "one")
    url = postgres.new_database().replace("dpip@", "dpip:secret-word@")
    said = installation.is_refused(DPIP_DATABASE_URL=url)
    assert "secret-word" not in said
    database = url.partition("@/")[2].partition("?")[0]
    assert f"postgresql://dpip:***@/{database}" in said
