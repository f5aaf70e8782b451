"""A private PostgreSQL server for tests, started when the first test asks for it."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.schema import bring_up_to_date

_OWNER = "dpip"
_TEMPLATE = "migrated"
_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "listen_addresses=",
    "shared_buffers=16MB",
    "deadlock_timeout=100ms",
)


class PostgresServer:
    """A server on a Unix socket in a directory of its own; nothing of it outlives the tests."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._account = _account()
        # The path of a Unix socket may have 107 bytes, so it cannot lie below a test's directory.
        self._directory = Path(tempfile.mkdtemp(prefix="dpip-", dir="/tmp"))
        if self._account:
            shutil.chown(self._directory, self._account)
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._directory)
            raise

    def _start(self) -> None:
        self._call(
            *("initdb", "--pgdata", self._data, "--username", _OWNER, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        self._start_server()
        self._execute(f"CREATE DATABASE {_TEMPLATE}")
        writer, reader = open_engines(self._url(_TEMPLATE), readers=1)
        bring_up_to_date(writer)
        writer.dispose()
        reader.dispose()

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._stop_server()
        shutil.rmtree(self._directory)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have crashed for the length of the block; what was committed before is there after."""
        self._stop_server()
        try:
            yield
        finally:
            self._start_server()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Accept no connection and answer nothing for the length of the block."""
        processes = [psutil.Process(self._pid)]
        processes[0].suspend()  # From here on it starts no others.
        processes += processes[0].children()
        try:
            for process in processes:
                process.suspend()
            yield
        finally:
            for process in processes:
                process.resume()

    @property
    def _data(self) -> str:
        return str(self._directory / "data")

    @property
    def _pid(self) -> int:
        return int(Path(self._data, "postmaster.pid").read_text().split()[0])

    def _start_server(self) -> None:
        options = [f"-k {self._directory}", *(f"-c {setting}" for setting in _SETTINGS)]
        self._call(
            *("pg_ctl", "start", "--wait", "--pgdata", self._data, "--options", " ".join(options)),
            *("--log", str(self._directory / "log")),
        )

    def _stop_server(self) -> None:
        self._call("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", self._data)

    def new_database(self, *, migrated: bool = True) -> str:
        """Create a database, with the tables in it or empty, and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if migrated else 'template0'}")
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://{_OWNER}@/{database}?host={self._directory}"

    def _execute(self, statement: str) -> None:
        url = make_url(self._url("postgres")).set(drivername="postgresql+psycopg")
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def _call(self, program: str, *arguments: str) -> None:
        # The output goes to a file: the server inherits it and would hold a pipe open.
        with (self._directory / "output").open("a+b") as output:
            finished = subprocess.run(
                [str(self._binaries / program), *arguments],
                cwd=self._directory,
                user=self._account,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
            output.seek(0)
            assert finished.returncode == 0, output.read().decode(errors="replace")


_SERVER = pytest.StashKey[PostgresServer]()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> PostgresServer:
    """The server of this test process, which every ``conftest.py`` that imports this shares."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra 'postgres')")
    if _SERVER not in pytestconfig.stash:
        binaries = find_binaries()
        if binaries is None:
            pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or PATH")
        server = PostgresServer(binaries)
        pytestconfig.add_cleanup(server.stop)
        pytestconfig.stash[_SERVER] = server
    return pytestconfig.stash[_SERVER]


def find_binaries() -> Path | None:
    """The directory of the newest version's programs."""
    packaged = [
        path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()
    ]
    if packaged:
        return max(packaged, key=lambda path: _number(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _number(version: str) -> float:
    try:
        return float(version)
    except ValueError:
        return 0.0


def _account() -> str | None:
    """Whom to run the server as: it refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
