"""``dpip torture``: files of any kind through a live system."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dpip.cli.trial import Fate, try_system
from dpip.client import Client
from dpip.compose import default_workers
from tests.acceptance.pictures import picture
from tests.acceptance.system import ADMIN, System, dpip, environment
from tests.hostile import HOSTILE
from tests.waiting import eventually


def test_a_folder_of_anything_leaves_the_system_as_it_was(system: System, tmp_path: Path) -> None:
    """Every file has its fate, and the exit code says that the system holds."""
    (tmp_path / "sub").mkdir()
    for name, content in HOSTILE.items():
        (tmp_path / "sub" / name).write_bytes(content)
    for suffix in (".png", ".jpg", ".webp", ".gif", ".tif", ".avif"):
        (tmp_path / f"sound{suffix}").write_bytes(picture(1, suffix=suffix, size=24))
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    arguments = [str(tmp_path), "--mutate", "60", "--seed", "5", "--filter", "blur"]
    ran = dpip("torture", *arguments, "--server", system.ready["api"], "--json", env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verdict = json.loads(ran.stdout)
    assert verdict["holds"]
    assert len(verdict["trials"]) == len(HOSTILE) + 6 + 60
    fates = {trial["name"]: (trial["fate"], trial["code"]) for trial in verdict["trials"]}
    assert fates["sound.png"] == ("filtered", None)
    assert fates["sub/pdf"] == ("refused", "unsupported_picture")
    assert fates["sub/png bomb"] == ("refused", "invalid_value")
    assert fates["sub/png of many chunks"] == ("failed", "decode_failed")
    assert system.api.session.get(f"{system.ready['api']}/workloads").json()["workloads"] == []


def test_without_a_server_it_tries_one_of_its_own(tmp_path: Path) -> None:
    """Whose workers are all there when they are counted."""
    (tmp_path / "sound.png").write_bytes(picture(1, size=24))
    ran = dpip("torture", str(tmp_path), "--json", env=environment(tmp_path / "data"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verdict = json.loads(ran.stdout)
    assert verdict["workers"] == default_workers()
    assert verdict["processes"] == 1
    assert [trial["fate"] for trial in verdict["trials"]] == ["filtered"]


def test_a_process_of_the_system_that_ends_is_told(system: System) -> None:
    """Even if a sound picture is filtered at the end."""
    with subprocess.Popen(["sleep", "60"]) as part, Client(system.ready["api"]) as client:
        watched = [psutil.Process(part.pid)]
        client.login(*ADMIN)
        assert try_system(client, [], "blur", processes=watched).holds
        part.kill()
        verdict = try_system(client, [], "blur", processes=watched)
    assert verdict.processes_lost == (part.pid,)
    assert verdict.goes_on
    assert not verdict.holds


def test_a_worker_that_is_not_the_same_process_is_told(own_system: System) -> None:
    """Its supervisor has started another under its name; its pictures are filtered all the same."""

    def files() -> Iterator[tuple[str, bytes]]:
        for number in range(20):
            if number == 10:
                own_system.process_of(name).kill()
            yield f"{number}", picture(number)

    name = next(iter(eventually(own_system.api.workers, "a worker to join")))
    with Client(own_system.ready["api"]) as client:
        client.login(*ADMIN)
        verdict = try_system(client, files(), "blur")
    assert not verdict.holds
    assert verdict.workers_lost == (name,)
    assert verdict.goes_on
    assert {trial.fate for trial in verdict.trials} == {Fate.FILTERED}


def test_a_file_that_cannot_be_read_is_told(system: System, tmp_path: Path) -> None:
    """It is no fault of the system: there is no verdict, and nothing stays on the server."""
    with Client(system.ready["api"]) as client:
        client.login(*ADMIN)
        with pytest.raises(FileNotFoundError):
            try_system(client, [("gone", tmp_path / "gone")], "blur")
        assert list(client.workloads()) == []
