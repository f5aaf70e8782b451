"""How soon a system is back after its disk was full, or its database locked or away.

    PYTHONPATH=. .venv/bin/python bench/storage_faults.py [seconds]

Each fault lasts ``seconds``, 60 by default, while pictures are uploaded without pause. Printed are
the answers during the fault, the slowest of them, and the seconds from its end to the first upload
that is acknowledged and to the first picture that is filtered. Then all that was acknowledged is
compared. The small disk needs root, the database servers need PostgreSQL installed.
"""

import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from tests.acceptance.system import System
from tests.acceptance.test_storage_faults import DISK_BYTES, Uploads, locked
from tests.contract.small_disk import SmallDisk, mounted_disk
from tests.postgres import PostgresServer, find_binaries
from tests.waiting import eventually

from dpip.data_directory import DataDirectory


@contextmanager
def full(disk: SmallDisk) -> Iterator[None]:
    """Leave no room on ``disk`` for the length of the block."""
    disk.fill()
    yield
    disk.make_room()


@contextmanager
def locked_by_another(database: Path) -> Iterator[None]:
    """Hold the lock of the one writer for the length of the block."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        eventually(lambda: locked(other), "the database to be locked")
        yield


def measure(name: str, fault: Callable[[], AbstractContextManager[None]], system: System) -> None:
    """Let ``fault`` happen to ``system`` under load, and print what came of it."""
    with Uploads(system.api) as uploads:
        with fault():
            before = len(uploads.acknowledged)
            time.sleep(SECONDS)
            taken = len(uploads.acknowledged) - before
        ended = time.monotonic()
        uploads.until_acknowledged(1)
        acknowledged_after = time.monotonic() - ended
        filtered = count_filtered(uploads)
        eventually(lambda: count_filtered(uploads) > filtered, "a picture to be filtered")
        filtered_after = time.monotonic() - ended
    uploads.check(503, 507)
    answers = Counter({201: taken}) + Counter(refusal.status_code for refusal in uploads.refusals)
    slowest = max(refusal.elapsed.total_seconds() for refusal in uploads.refusals)
    print(f"{name}: answers {dict(answers)}, the slowest refusal after {slowest:.1f} s")
    print(
        f"  upload acknowledged after {acknowledged_after:.1f} s, filtered {filtered_after:.1f} s"
    )
    print(f"  {len(uploads.acknowledged)} acknowledged: all there, all filtered", flush=True)


def count_filtered(uploads: Uploads) -> int:
    """How many pictures are filtered, as soon as the API can tell."""

    def ask() -> list[str] | None:
        found = uploads.api.workload(uploads.workload_id)
        return ["workload", *found["filtered_images"]] if "filtered_images" in found else None

    return len(eventually(ask, "the API to answer"))


@contextmanager
def running(**settings: str) -> Iterator[System]:
    """A system of its own, whose log is kept apart from its data."""
    with tempfile.TemporaryDirectory() as directory:
        system = System(Path(directory), **settings)  # type: ignore[arg-type]
        yield system
        system.process.stop()


SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0

with (
    tempfile.TemporaryDirectory() as directory,
    mounted_disk(Path(directory, "disk"), DISK_BYTES) as disk,
    running(DPIP_DATA_DIR=str(disk.path / "data")) as system,
):
    measure("disk full", lambda: full(disk), system)
with running() as system:
    database = DataDirectory(system.data_dir).database
    measure("SQLite locked", lambda: locked_by_another(database), system)
binaries = find_binaries()
if binaries is None:
    sys.exit("PostgreSQL is not installed: its faults were left out.")
server = PostgresServer(binaries)
try:
    for name, fault in [("stopped", server.away), ("frozen", server.frozen)]:
        with running(DPIP_DATABASE_URL=server.new_database()) as system:
            measure(f"PostgreSQL {name}", fault, system)
finally:
    server.stop()
