"""A worker that fails sound pictures, because it lies or because it is broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import LONG_LEASES, Process, System
from tests.acceptance.test_workers import all_came_back, push_all, until_alive, who_did
from tests.waiting import eventually

PICTURES = 30
LIAR = str(Path(__file__).with_name("failing_worker.py"))
ABORTING = str(Path(__file__).parents[1] / "aborting")

Bad = Callable[[System], Process]

bad_workers = pytest.mark.parametrize(
    "start",
    [
        lambda system: system.worker("bad", "--slots", "3", program=(LIAR,)),
        lambda system: system.worker("bad", "--slots", "3", PYTHONPATH=ABORTING),
    ],
    ids=["it lies", "its children abort"],
)


@pytest.mark.parametrize("sound", [1, 2])
@bad_workers
def test_a_worker_that_fails_sound_pictures_costs_none(
    tmp_path: Path, start: Bad, sound: int
) -> None:
    """Others do all of them, beside one or two, and it is in quarantine, with the reason."""
    system = System(tmp_path, workers=sound, **LONG_LEASES)
    api = system.api
    bad = start(system)
    try:
        names = {f"local-{number + 1}" for number in range(sound)}
        for name in ("bad", *names):
            until_alive(api, name)
        workload_id = push_all(api, PICTURES)
        more = api.create()["workload_id"]

        def is_quarantined() -> bool:
            api.push(more, picture(0))  # The others may have done all before it got three.
            return bool(api.workers()["bad"]["state"] == "quarantined")

        eventually(is_quarantined, "the bad worker to be quarantined")
        all_came_back(api, workload_id, PICTURES)
        assert set(who_did(api, workload_id)) <= names
        assert api.until_completed(more)["failed_images"] == []
        assert "has done what it failed with" in api.workers()["bad"]["paused"]
    finally:
        bad.kill()
        system.process.stop()


@bad_workers
def test_alone_it_fails_them_and_that_is_explained(tmp_path: Path, start: Bad) -> None:
    """Three attempts on the only worker fail a picture, which says that no other was there."""
    system = System(tmp_path, workers=0, **LONG_LEASES)
    bad = start(system)
    try:
        api = system.api
        until_alive(api, "bad")
        workload_id = api.create()["workload_id"]
        image_id = api.push(workload_id, picture(0))
        assert api.until_completed(workload_id)["failed_images"]
        told = api.session.get(f"{api.url}/images/{image_id}/explain").json()
        assert "no other worker was there" in " ".join(told["details"])
        assert api.workers()["bad"]["state"] == "alive"
    finally:
        bad.kill()
        system.process.stop()
