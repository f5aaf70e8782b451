"""``dpip chaos``: real processes, real pictures, real faults."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import dpip

UNFENCED = Path(__file__).parents[1] / "unfenced"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has a loopback address a worker"
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, suffix in enumerate([".png", ".jpg", ".webp", ".tif"] * 2):
        path = folder / f"{number}{suffix}"
        path.write_bytes(picture(number, suffix=suffix, size=300))
    return folder


def chaos(*arguments: str, pictures: Path, code: int = 0, **more: str) -> dict[str, Any]:
    """Run it with leases that are short, and return its verdict."""
    settings = {"DPIP_LEASE__TIMEOUT_SECONDS": "2", "DPIP_LEASE__HEARTBEAT_SECONDS": "0.4"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DPIP_")}
    temporary = pictures.parent / "tmp"
    temporary.mkdir()
    ran = dpip(
        *("chaos", str(pictures), "--filter", "blur", "--json", *arguments),
        env={**inherited, **settings, "TMPDIR": str(temporary), **more},
    )
    assert ran.returncode == code, f"{ran.stdout}\n{ran.stderr}"
    # The record and the logs stay where something went wrong.
    assert any(temporary.glob("dpip-chaos-*")) is (code == 1)
    shutil.rmtree(temporary)
    verdict: dict[str, Any] = json.loads(ran.stdout)
    return verdict


def test_nothing_is_lost_and_nothing_is_seen_twice(pictures: Path) -> None:
    """A few hundred pictures come back as they would have, whatever is killed meanwhile."""
    verdict = chaos("--jobs", "300", "--seed", "3", "--rate", "8", pictures=pictures)
    assert verdict["kept"] is True
    assert verdict["done"] == verdict["uploaded"] == 300
    assert sum(verdict["faults"].values()) == 24


def test_partitions_heal(pictures: Path) -> None:
    """A worker is cut off both ways, and each way alone; all that it had in hand is done once."""
    verdict = chaos(
        *("--jobs", "60", "--seed", "2", "--rate", "5", "--kill", "network", "--workers", "2"),
        pictures=pictures,
    )
    assert verdict["faults"] == {
        "network cut": 1,
        "network cut_to_servers": 1,
        "network cut_to_worker": 1,
    }
    assert verdict["done"] == 60


def test_a_build_without_the_fence_is_found_out(pictures: Path) -> None:
    """The checker sees the late results of frozen workers, which the fence keeps out."""
    # Enough to do that a frozen worker has some of it in hand, and so little of each that others
    # have begun with that when it is thawed.
    for path in pictures.iterdir():
        path.write_bytes(picture(int(path.stem), suffix=path.suffix, size=1000))
    verdict = chaos(
        *("--jobs", "80", "--seed", "1", "--rate", "15", "--kill", "worker", "--workers", "2"),
        *("--filter", "blur:sigma=40"),
        pictures=pictures,
        code=1,
        PYTHONPATH=os.pathsep.join([str(UNFENCED), os.environ.get("PYTHONPATH", "")]),
        FENCING="off",
    )
    assert verdict["kept"] is False
    assert verdict["twice"] > 0


def test_a_plan_is_shown_and_nothing_done(tmp_path: Path) -> None:
    """The same for the same seed."""
    shown = [
        dpip("chaos", "--jobs", "1000", "--seed", "4", "--plan", env=dict(os.environ)).stdout
        for _ in range(2)
    ]
    assert shown[0] == shown[1]
    assert len(shown[0].splitlines()) == 30


def test_a_target_that_is_none_is_refused() -> None:
    """With those that there are, and code 2."""
    ran = dpip("chaos", "--kill", "moon", env=dict(os.environ))
    assert ran.returncode == 2
    assert "'moon'" in ran.stderr
    assert "worker, scheduler, controller, api, nats, network" in ran.stderr
