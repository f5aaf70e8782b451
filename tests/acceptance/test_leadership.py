"""Two schedulers run; one leads, and the other takes over when it is killed or frozen."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.apart import Apart
from tests.acceptance.pictures import picture
from tests.acceptance.system import LONG_LEASES, Api, Process


class Pair(Apart):
    """A system with a second scheduler, which stands by."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, **LONG_LEASES)
        self.first = self.processes["scheduler"].until_it_says("leading term=1")
        self.second = Process(directory / "second.log", "scheduler", env=self.env)
        self.processes["second"] = self.second.until_it_says("Ready")

    def rows(self, query: str) -> list[tuple[int]]:
        database = f"file:{self.directory / 'data' / 'dpip.db'}?mode=ro"
        with closing(sqlite3.connect(database, uri=True)) as connection:
            return list(connection.execute(query))

    def term(self) -> int:
        ((term,),) = self.rows("SELECT term FROM leadership")
        return term


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.stop()


def push(api: Api, workload_id: str, count: int = 5) -> None:
    for number in range(count):
        api.push(workload_id, picture(number))


def all_came_back(api: Api, workload_id: str, count: int) -> None:
    done = api.until_completed(workload_id)
    assert done["failed_images"] == []
    assert len(done["filtered_images"]) == count


def test_the_leader_is_killed(pair: Pair) -> None:
    """The other one leads in the next term, and what is uploaded then is filtered."""
    api = pair.api
    workload_id = api.create()["workload_id"]
    push(api, workload_id)
    all_came_back(api, workload_id, 5)
    assert "leading" not in pair.second.said
    pair.first.kill()
    push(api, workload_id)
    pair.second.until_it_says("leading term=2")
    all_came_back(api, workload_id, 10)


def test_the_leader_is_frozen_and_thawed(pair: Pair) -> None:
    """It places nothing more: it knows that it no longer leads, and the other one goes on.

    Each job is leased once. When the other one is stopped, it leads again, at once.
    """
    api = pair.api
    workload_id = api.create()["workload_id"]
    push(api, workload_id)
    all_came_back(api, workload_id, 5)
    pair.first.popen.send_signal(signal.SIGSTOP)
    try:
        push(api, workload_id)
        pair.second.until_it_says("leading term=2")
        all_came_back(api, workload_id, 10)
    finally:
        pair.first.popen.send_signal(signal.SIGCONT)
    push(api, workload_id)
    pair.first.until_it_says("no longer leading")
    push(api, workload_id)
    all_came_back(api, workload_id, 20)
    assert pair.term() == 2
    assert pair.rows("SELECT DISTINCT attempt FROM jobs") == [(1,)]
    pair.second.stop()
    pair.first.until_it_says("leading term=3")
    push(api, workload_id)
    all_came_back(api, workload_id, 25)
