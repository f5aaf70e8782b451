"""``dpip run``, ``dpip bench``, ``dpip user`` and ``dpip config`` as they are typed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.pictures import picture, pixels
from tests.acceptance.system import ADMIN, Api, Process, System, dpip, environment
from tests.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures, one of them in a subfolder, a note and a picture that ends too soon."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(picture(number))
    (folder / "sub" / "4.jpg").write_bytes(picture(4, suffix=".jpg"))
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_folder_goes_through_a_system_of_its_own(folder: Path, tmp_path: Path) -> None:
    """Pictures come back under their own names; what is no picture is left alone."""
    out = tmp_path / "out"
    ran = dpip("run", str(folder), "--out", str(out), env=environment(tmp_path / "unused"))
    assert ran.returncode == 0, ran.stderr
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {"0.png", "1.png", "2.png", "3.png", "sub/4.jpg"}
    assert pixels((out / "0.png").read_bytes()).squeeze().ndim == 2
    assert "local-" in ran.stdout
    assert not (tmp_path / "unused").exists()


def test_what_failed_is_listed(folder: Path, tmp_path: Path, system: System) -> None:
    """A truncated picture and one that is none are named with their codes; the code is 3."""
    whole = picture(9)
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    note = folder / "notes.txt"
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    arguments = [str(folder), str(note), "--filter", "blur", "--out", str(out)]
    ran = dpip("run", *arguments, "--server", system.ready["api"], "--json", env=env)
    assert ran.returncode == 3, ran.stderr
    report = json.dumps(json.loads(ran.stdout))
    assert "cut.png" in report
    assert "decode_failed" in report
    assert "notes.txt" in report
    assert "unsupported_picture" in report
    assert len([path for path in out.rglob("*") if path.is_file()]) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing", "--out", "out"],
        ["in", "--out", "in"],
        ["in", "--out", "out", "--filter", "sharpen"],
        ["in"],
    ],
)
def test_wrong_usage_is_told_before_anything_happens(
    folder: Path, tmp_path: Path, arguments: list[str]
) -> None:
    """The exit code is 2, and there is a message without a traceback."""
    ran = dpip("run", *arguments, env=environment(tmp_path / "unused"), cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.strip()
    assert "Traceback" not in ran.stderr


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """The exit code is 130; no process and no temporary directory stays."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.png").write_bytes(picture(number, size=300))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = environment(tmp_path / "unused", TMPDIR=str(temporary))
    process = subprocess.Popen(
        [sys.executable, "-m", "dpip", "run", str(folder), "--out", str(tmp_path / "out")],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: list((tmp_path / "out").glob("*.png")), "the first picture")
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not any(child.is_running() for child in children)
    assert list(temporary.iterdir()) == []


def test_bench_prints_its_ratio(folder: Path, system: System) -> None:
    """Both throughputs and their ratio are in the JSON."""
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    arguments = ["--rounds", "1", "--json", "--server", system.ready["api"]]
    ran = dpip("bench", str(folder), "--filter", "blur", *arguments, env=env)
    assert ran.returncode == 0, ran.stderr
    ratio = json.loads(ran.stdout)["ratio"]
    assert (ratio if isinstance(ratio, float) else ratio["median"]) > 0


def test_users_come_and_go(system: System) -> None:
    """Added by pipe, renamed by variable, listed, removed; passwords open what they should."""
    env = system.env
    url = system.ready["api"]
    assert dpip("user", "add", "ann", env=env, input="first password\n").returncode == 0
    assert Api(url).login("ann", "first password").session.get(f"{url}/status").status_code == 200
    assert dpip("user", "add", "ann", env=env, input="other password\n").returncode == 1
    changed = {**env, "DPIP_USER_PASSWORD": "second password"}
    assert dpip("user", "passwd", "ann", env=changed).returncode == 0
    Api(url).login("ann", "second password")
    assert "ann\tuser" in dpip("user", "list", env=env).stdout
    assert dpip("user", "remove", "ann", env=env).returncode == 0
    assert "ann" not in dpip("user", "list", env=env).stdout
    assert dpip("user", "remove", "ann", env=env).returncode == 1
    assert dpip("user", "add", "bob", env=env, input="short\n").returncode == 2


def test_others_objects_look_like_missing_ones(system: System) -> None:
    """A user gets the same 404 for another's workload and image as for none; an administrator
    sees them.
    """
    for name in ("carol", "dave"):
        added = dpip("user", "add", name, env=system.env, input=f"password of {name}\n")
        assert added.returncode == 0
    url = system.ready["api"]
    carol, dave = (Api(url).login(name, f"password of {name}") for name in ("carol", "dave"))
    workload_id = carol.create()["workload_id"]
    image_id = carol.push(workload_id, picture(1))
    for path in (f"workloads/{workload_id}", f"images/{image_id}"):
        assert dave.session.get(f"{url}/{path}").status_code == 404
        assert system.api.session.get(f"{url}/{path}").status_code == 200
    assert dave.session.get(f"{url}/workloads").json()["workloads"] == []


def test_the_first_start_makes_an_administrator(tmp_path: Path) -> None:
    """Its password is shown once and kept in a file for its owner's eyes alone."""
    env = environment(tmp_path / "data")
    del env["DPIP_ADMIN_PASSWORD"]
    arguments = ("up", "--port", "0", "--controller-port", "0", "--workers", "0")
    first = Process(tmp_path / "first.log", *arguments, env=env).until_it_says("Ready")
    kept = tmp_path / "data" / "admin-password"
    assert kept.stat().st_mode & 0o777 == 0o600
    password = kept.read_text().strip()
    assert password in first.said
    url = next(line.split()[1] for line in first.said.splitlines() if line.startswith("API"))
    Api(url).login("admin", password)
    assert first.stop() == 0
    second = Process(tmp_path / "second.log", *arguments, env=env).until_it_says("Ready")
    assert password not in second.said
    assert second.stop() == 0


def test_settings_tell_where_they_come_from(tmp_path: Path) -> None:
    """The environment is in front of the file, and secrets are not shown."""
    (tmp_path / "dpip.toml").write_text("port = 1\n[lease]\ntimeout_seconds = 9.0\n")
    env = environment(tmp_path, DPIP_PORT="2")
    shown = json.loads(dpip("config", "--json", env=env, cwd=tmp_path).stdout)
    assert shown["port"] == {"value": 2, "source": "DPIP_PORT"}
    assert shown["lease.timeout_seconds"]["value"] == 9.0
    assert ADMIN[1] not in json.dumps(shown)
