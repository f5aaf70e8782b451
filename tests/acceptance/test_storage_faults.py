"""A full disk and a lost database: said to users with 507 and 503, and over by itself."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import requests

from dpip.data_directory import DataDirectory
from tests.acceptance.pictures import picture
from tests.acceptance.system import ADMIN, Api, System
from tests.contract.small_disk import mounted_disk
from tests.postgres import PostgresServer, postgres
from tests.waiting import eventually

__all__ = ["postgres"]

DISK_BYTES = 32 * 1024 * 1024
SOME = 10
"""Pictures that are acknowledged before anything goes wrong, and when all is well again."""


class Uploads:
    """Uploads pictures without end, and remembers each answer."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.workload_id = api.create(filter="blur")["workload_id"]
        self.acknowledged: dict[str, bytes] = {}
        self.refusals: list[requests.Response] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._upload)

    def __enter__(self) -> Self:
        self._thread.start()
        self.until_acknowledged(SOME)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def until_acknowledged(self, more: int) -> None:
        count = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= count, "uploads to be acknowledged")

    def until_refused(self) -> None:
        count = len(self.refusals)
        eventually(lambda: len(self.refusals) > count, "an upload to be refused")

    def check(self, *codes: int) -> None:
        """All that was acknowledged is there and filtered; the rest was refused by ``codes``."""
        done = self.api.until_completed(self.workload_id)
        assert done["failed_images"] == []
        assert len(done["filtered_images"]) == len(self.acknowledged)
        for image_id, content in self.acknowledged.items():
            assert self.api.pull(image_id) == content
        for result in done["filtered_images"]:
            self.api.pull(result)
        for refusal in self.refusals:
            assert refusal.status_code in codes, refusal.text
            assert int(refusal.headers["Retry-After"]) > 0

    def _upload(self) -> None:
        session = requests.Session()
        session.headers.update(self.api.session.headers)
        for number in range(10_000):
            content = picture(number % 256)
            answer = session.post(
                f"{self.api.url}/images",
                files={"data": content},
                data={"workload_id": self.workload_id},
            )
            if answer.status_code == 201:
                self.acknowledged[answer.json()["image_id"]] = content
            else:
                self.refusals.append(answer)
            if self._ended.wait(0.05):
                return


@contextmanager
def running(directory: Path, workers: int = 2, **settings: str) -> Iterator[System]:
    """A system that has said nothing, in the end, of errors that it did not expect."""
    system = System(directory, workers=workers, **settings)
    try:
        if workers:
            eventually(system.api.workers, "a worker to join")
        yield system
    finally:
        system.process.stop()
    assert "Traceback" not in system.process.said, system.process.said


def status_of(answer: requests.Response) -> int:
    """The status, of an answer that says when to try again if it is a refusal."""
    assert answer.status_code < 500 or int(answer.headers["Retry-After"]) > 0, answer.text
    return answer.status_code


def login(api: Api) -> requests.Response:
    return requests.post(f"{api.url}/login", auth=ADMIN)


def all_is_read(uploads: Uploads) -> None:
    api = uploads.api
    for image_id, content in list(uploads.acknowledged.items()):
        assert api.pull(image_id) == content
    assert api.workload(uploads.workload_id)["workload_id"] == uploads.workload_id
    assert api.workers()


def test_a_full_disk(tmp_path: Path) -> None:
    """Uploads are refused with 507, what is there can be read, and with room all is finished."""
    with (
        mounted_disk(tmp_path / "disk", DISK_BYTES) as disk,
        running(tmp_path, DPIP_DATA_DIR=str(disk.path / "data")) as system,
    ):
        with Uploads(system.api) as uploads:
            disk.fill()
            uploads.until_refused()
            all_is_read(uploads)
            assert status_of(login(uploads.api)) in (200, 503, 507)
            disk.make_room()
            uploads.until_acknowledged(SOME)
        uploads.check(507, 503)
        assert 507 in {refusal.status_code for refusal in uploads.refusals}


def test_a_locked_database(tmp_path: Path) -> None:
    """Uploads are refused with 503, what is there can be read, and unlocked all is finished."""
    with running(tmp_path) as system:
        with (
            Uploads(system.api) as uploads,
            closing(
                sqlite3.connect(DataDirectory(system.data_dir).database, isolation_level=None)
            ) as other,
        ):
            eventually(lambda: locked(other), "the database to be locked")
            uploads.until_refused()
            all_is_read(uploads)
            assert status_of(login(uploads.api)) == 503
            other.execute("ROLLBACK")
            uploads.until_acknowledged(SOME)
        uploads.check(503)


def locked(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:  # It is DPIP that writes just now.
        return False
    return True


def test_a_database_server_that_crashes(tmp_path: Path, postgres: PostgresServer) -> None:
    """Requests are refused with 503, and when the server is back all is finished."""
    with running(tmp_path, DPIP_DATABASE_URL=postgres.new_database()) as system:
        with Uploads(system.api) as uploads:
            with postgres.away():
                uploads.until_refused()
                lives_and_is_not_ready(uploads.api)
            uploads.until_acknowledged(SOME)
        uploads.check(503)


def test_a_database_server_that_freezes(tmp_path: Path, postgres: PostgresServer) -> None:
    """Requests are refused with 503, none waits for ever, and thawed all is finished."""
    with running(tmp_path, DPIP_DATABASE_URL=postgres.new_database()) as system:
        with Uploads(system.api) as uploads:
            with postgres.frozen():
                lives_and_is_not_ready(uploads.api)
                uploads.until_refused()
            uploads.until_acknowledged(SOME)
        uploads.check(503)


def lives_and_is_not_ready(api: Api) -> None:
    """The API answers what needs no database, also while others wait for the database."""
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(requests.get, f"{api.url}/readyz") for _ in range(3)]
        waiting.append(threads.submit(login, api))
        assert requests.get(f"{api.url}/healthz").status_code == 200
        assert {status_of(answer.result()) for answer in waiting} == {503}
