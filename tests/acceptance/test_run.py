"""``dpip run``, ``dpip bench`` and ``dpip config`` as they are typed."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import pyvips

from tests.acceptance.pictures import picture, pixels
from tests.acceptance.system import ADMIN, System, dpip, environment
from tests.contract.small_disk import mounted_disk
from tests.waiting import eventually

_ROOM_OF_A_SYSTEM = 6 << 20
"""Bytes of its database and logs."""


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


def test_a_picture_waits_for_a_worker_with_its_tags_and_says_so(system: System) -> None:
    """Until one joins, ``dpip explain`` names what is missing; then, the worker that did it."""
    api = system.api
    workload_id = api.create(tags="rare")["workload_id"]
    image_id = api.push(workload_id, picture(1))
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}

    def explanation() -> str:
        return dpip("explain", image_id, "--server", system.ready["api"], env=env).stdout

    eventually(lambda: "lacks the tag rare" in explanation(), "the tag to be missed")
    worker = system.worker("collector", "--tags", "rare,old")
    api.until_completed(workload_id)
    assert explanation().startswith("Worker collector filtered it in ")
    worker.stop()


@pytest.mark.parametrize("options", [[], ["--keep-metadata"]])
def test_metadata_comes_back_if_that_is_asked_for(
    tmp_path: Path, system: System, options: list[str]
) -> None:
    """All the way to the child and back."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image = pyvips.Image.black(16, 16, bands=3).copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd3-GPSLatitude", "51/1 30/1 0/1")
    image.jpegsave(str(folder / "taken.jpg"))
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    arguments = [str(folder), "--out", str(out), *options, "--server", system.ready["api"]]
    assert dpip("run", *arguments, env=env).returncode == 0
    fields = pyvips.Image.jpegload(str(out / "taken.jpg")).get_fields()
    assert ("exif-ifd3-GPSLatitude" in fields) == bool(options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing", "--out", "out"],
        ["in", "--out", "in"],
        ["in", "--out", "out", "--filter", "sepia"],
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


def test_a_setting_that_no_worker_takes_ends_the_run(folder: Path, tmp_path: Path) -> None:
    """It is named at once: no batch waits for workers that cannot start."""
    env = environment(tmp_path / "unused") | {"DPIP_WORKER__ALLOW_SYSTEM_CALLS": "frobnicate"}
    ran = dpip("run", str(folder), "--out", "out", env=env, cwd=tmp_path)
    assert ran.returncode == 1
    assert "frobnicate" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.png").write_bytes(picture(number, size=300))
    return folder


def begun(out: Path, *arguments: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """``dpip run`` once the first picture is back."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dpip", "run", *arguments, "--out", str(out)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: list(out.glob("*.png")), "the first picture")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing_behind(
    many: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The exit code is 130; no process and no temporary directory stays, and no half picture.

    A terminal that closes tells twice.
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = environment(tmp_path / "unused", TMPDIR=str(temporary))
    process = begun(tmp_path / "out", str(many), env=env)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    if number is signal.SIGHUP:
        process.send_signal(number)
    assert process.wait(timeout=60) == 130
    assert not any(child.is_running() for child in children)
    assert list(temporary.iterdir()) == []
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_an_interrupt_cancels_its_workload_on_a_server(
    many: Path, tmp_path: Path, system: System
) -> None:
    """What is pending there would be filtered for nobody."""
    before = list_workloads(system)
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    process = begun(tmp_path / "out", str(many), "--server", system.ready["api"], env=env)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert list_workloads(system) == before


def test_a_small_temporary_directory_is_enough(many: Path, tmp_path: Path) -> None:
    """Only what is on its way lies there: all originals would not fit."""
    pictures = sum(file.stat().st_size for file in many.iterdir())
    with mounted_disk(tmp_path / "disk", _ROOM_OF_A_SYSTEM + pictures // 2) as disk:
        env = environment(tmp_path / "unused", TMPDIR=str(disk.path))
        ran = dpip("run", str(many), "--out", str(tmp_path / "out"), "--workers", "2", env=env)
        assert ran.returncode == 0, ran.stderr
        assert list(disk.path.iterdir()) == []
    assert len(list((tmp_path / "out").iterdir())) == 200


def test_a_full_output_ends_with_a_sentence(many: Path, tmp_path: Path) -> None:
    """The exit code is 1; what is there is whole."""
    with mounted_disk(tmp_path / "disk", 1 << 20) as disk:
        env = environment(tmp_path / "unused")
        ran = dpip("run", str(many), "--out", str(disk.path), "--workers", "2", env=env)
        assert ran.returncode == 1
        assert f"There is no space left in {disk.path}." in ran.stderr
        assert "Traceback" not in ran.stderr
        made = list(disk.path.iterdir())
        assert made
        for path in made:
            assert pixels(path.read_bytes()).shape[:2] == (300, 300)


def list_workloads(system: System) -> list[dict[str, Any]]:
    answer = system.api.session.get(f"{system.ready['api']}/workloads")
    workloads: list[dict[str, Any]] = answer.json()["workloads"]
    return workloads


def test_bench_prints_its_ratio(folder: Path, system: System, tmp_path: Path) -> None:
    """Speeds and their ratio are in the JSON, in the order of the filters, and in a chart.

    What cannot be filtered is named, and on the server nothing stays.
    """
    (folder / "broken.png").write_text("no picture")
    workloads = len(list_workloads(system))
    env = {**system.env, "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    chart = tmp_path / "chart.svg"
    arguments = ["--rounds", "1", "--json", "--server", system.ready["api"], "--chart", str(chart)]
    filters = ["--filter", "blur", "--filter", "grayscale"]
    ran = dpip("bench", str(folder), *filters, *arguments, env=env)
    assert ran.returncode == 3, ran.stderr
    comparisons = json.loads(ran.stdout)["comparisons"]
    assert [each["unfit"] for each in comparisons] == [[str(folder / "broken.png")]] * 2
    assert len(list_workloads(system)) == workloads
    assert [each["filter"] for each in comparisons] == ["blur", "grayscale"]
    assert all(each["ratio"] > 0 for each in comparisons)
    assert [result["name"] for result in comparisons[0]["results"]] == ["limit", "dpip"]
    assert chart.read_text().startswith("<svg")


def test_bench_says_what_is_wrong_with_its_command_line(tmp_path: Path) -> None:
    """All that is wrong is said at once, before anything is started."""
    ran = dpip("bench", "--mix", "cats", "--filter", "blur:sigma=0", env=environment(tmp_path))
    assert ran.returncode == 2
    assert "There is no mix cats: frames, photographs, thumbnails, mixed." in ran.stderr
    assert "sigma" in ran.stderr
    assert dpip("bench", env=environment(tmp_path)).returncode == 2
    both = dpip("bench", "--control-plane", "--mix", "frames", env=environment(tmp_path))
    assert both.returncode == 2


def test_bench_accounts_for_a_job_that_does_nothing(tmp_path: Path) -> None:
    """Every kind of process that a job takes is in the account."""
    ran = dpip("bench", "--control-plane", "--jobs", "100", "--json", env=environment(tmp_path))
    assert ran.returncode == 0, ran.stderr
    account = json.loads(ran.stdout)
    assert account["jobs_per_second"] > 0
    assert set(account["processes"]) >= {"API, controller, scheduler", "workers", "nats-server"}
    assert account["parts"] or account["not_sampled"]


def test_settings_tell_where_they_come_from(tmp_path: Path) -> None:
    """The environment is in front of the file, and secrets are not shown."""
    (tmp_path / "dpip.toml").write_text("port = 1\n[lease]\ntimeout_seconds = 9.0\n")
    env = environment(tmp_path, DPIP_PORT="2")
    shown = json.loads(dpip("config", "--json", env=env, cwd=tmp_path).stdout)
    assert shown["port"] == {"value": 2, "source": "DPIP_PORT"}
    assert shown["lease.timeout_seconds"]["value"] == 9.0
    assert ADMIN[1] not in json.dumps(shown)
