"""A single picture beside a batch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import LONG_LEASES, Api, System, dpip
from tests.waiting import eventually

WORKERS = 2
BATCH = 60
SLOW = ",".join(["blur:sigma=100"] * 2)
"""A picture takes many times as long as its upload, so that the batch outlasts the test."""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path, workers=WORKERS, **LONG_LEASES)
    yield system
    system.process.stop()


def other_user(system: System) -> Api:
    variables = {**system.env, "DPIP_USER_PASSWORD": "battery staple"}
    made = dpip("user", "add", "single", env=variables)
    assert made.returncode == 0, made.stderr
    return Api(system.ready["api"]).login("single", "battery staple")


def test_a_single_picture_does_not_wait_for_a_batch(system: System) -> None:
    """It takes the next slot that is free, so hardly more of the batch gets done meanwhile than
    there are workers, each time.
    """
    batch, single = system.api, other_user(system)
    workload_id = batch.create(filter=SLOW)["workload_id"]
    original = picture(0, suffix=".jpg", size=600)
    for _ in range(BATCH):
        batch.push(workload_id, original)

    def done() -> int:
        return int(batch.workload(workload_id)["counts"]["done"])

    def some_done(at_least: int) -> Callable[[], int | None]:
        return lambda: count if (count := done()) >= at_least else None

    passed_by = []
    for _ in range(3):
        before = eventually(some_done(done() + WORKERS), "some of the batch to be done")
        own = single.create(filter=SLOW)["workload_id"]
        single.push(own, original)
        single.until_completed(own)
        passed_by.append(done() - before)
    assert done() < BATCH
    # While it waits for one slot and is filtered itself, each worker may finish two or three.
    assert max(passed_by) <= 4 * WORKERS, passed_by
