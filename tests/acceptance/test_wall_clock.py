"""Jumps of the wall clock change nothing."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import ADMIN, LONG_LEASES, Api, System
from tests.waiting import eventually

HOUR = 3600
YEAR = 365 * 24 * HOUR
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class JumpingClock:
    """The wall clock of a system and all its processes; it reads a file each time it is read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)
        self.settings = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Have the clock be so far ahead of the true time."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{seconds:+d}\n")
        written.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> JumpingClock:
    if LIBRARY is None:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    return JumpingClock(tmp_path / "clock")


@pytest.fixture
def system(tmp_path: Path, clock: JumpingClock) -> Iterator[System]:
    system = System(tmp_path, workers=2, **LONG_LEASES, **clock.settings)
    yield system
    system.process.stop()


def hours_ahead(api: Api) -> int:
    """By how much the system's clock is ahead of the true time, for its users."""
    shown = api.session.get(f"{api.url}/status").json()["server_time"]
    return round((datetime.fromisoformat(shown).timestamp() - time.time()) / HOUR)


def test_jumps_of_an_hour_change_nothing(system: System, clock: JumpingClock) -> None:
    """Either way, while jobs run: none is failed, no worker is lost, each picture comes back."""
    api = system.api
    workload_id = api.create(filter="blur")["workload_id"]
    for number, ahead in enumerate((0, HOUR, -HOUR, 0)):
        clock.jump(ahead)
        for each in range(8):
            api.push(workload_id, picture(8 * number + each, size=400))
        assert hours_ahead(api) == ahead / HOUR
    done = api.until_completed(workload_id)
    assert done["failed_images"] == []
    assert len(done["filtered_images"]) == 32
    assert {worker["state"] for worker in api.workers().values()} == {"alive"}
    for trouble in ("attempt failed", "worker lost", "worker left", "Traceback"):
        assert trouble not in system.process.said


def test_a_run_outlives_the_end_of_its_token(
    system: System, clock: JumpingClock, tmp_path: Path
) -> None:
    """No login lasts for a year; ``dpip run`` logs in again by itself and gets all back."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.png").write_bytes(picture(number, size=400))
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    arguments = [str(folder), "--out", str(out), "--server", system.ready["api"]]
    run = subprocess.Popen([sys.executable, "-m", "dpip", "run", *arguments], env=env)
    eventually(lambda: list(out.glob("*.png")), "the first picture")
    clock.jump(YEAR)
    assert run.wait(timeout=120) == 0
    assert len(list(out.iterdir())) == 40
