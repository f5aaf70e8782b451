import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from dpip.cli.run import run
from dpip.client import Client
from dpip.client.answers import Explanation
from dpip.errors import ApiUnreachable
from dpip.model.note import sentence_of
from dpip.worker.gpus import Gpus
from tests.unit.client.stub_api import StubApi, serving

app = typer.Typer()
app.command()(run)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave the handlers of signals as they were: a command is the only one in its process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def api() -> StubApi:
    return StubApi()


@pytest.fixture
def url(api: StubApi) -> Iterator[str]:
    with serving(api) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"abc")
    (folder / "sub" / "b.png").write_bytes(b"def")
    return folder


def dpip_run(*arguments: object, **variables: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=variables)


def test_a_folder_comes_back_with_its_structure(url: str, folder: Path, tmp_path: Path) -> None:
    """Every picture is filtered; the report has a line per worker and the sum."""
    (folder / "x.heic").touch()
    (folder / ".y").touch()
    out = tmp_path / "out"
    result = dpip_run(folder, "--out", out, "--server", url, DPIP_TOKEN="t0ken")
    assert result.exit_code == 0, result.output
    assert (out / "a.png").read_bytes() == b"cba"
    assert (out / "sub/b.png").read_bytes() == b"fed"
    assert "Skipped 2 files: 1 unsupported (1 .heic), 1 hidden." in result.stderr
    assert "w0" in result.stdout
    assert f"2 of 2 pictures are in {out}" in result.stdout


def test_a_tilde_that_the_shell_has_left_is_the_home_directory(
    url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As dash and zsh leave it behind ``=``; a file whose name begins so is taken as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~c.png").write_bytes(b"ghi")
    result = dpip_run(
        *("~/in", "~c.png", "--out=~/out", "--server", url), DPIP_TOKEN="t0ken", HOME=str(tmp_path)
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "a.png").read_bytes() == b"cba"
    assert (tmp_path / "out" / "~c.png").read_bytes() == b"ihg"


def test_what_failed_is_listed_and_told_by_the_exit_code(
    url: str, folder: Path, tmp_path: Path
) -> None:
    """Code 3 means that some pictures failed; the others are there."""
    (folder / "[bold]c.png").write_bytes(b"bad")
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, DPIP_TOKEN="t0ken")
    assert result.exit_code == 3
    assert "[bold]c.png" in result.stdout
    assert "decode_failed" in result.stdout
    assert (tmp_path / "out/a.png").exists()


def test_json_is_one_object(url: str, folder: Path, tmp_path: Path) -> None:
    """Standard output holds the report for a program and nothing else."""
    (folder / "c.png").write_bytes(b"bad")
    (folder / "x.NEF").touch()
    (folder / "more").symlink_to(tmp_path)
    result = dpip_run(
        folder, "--out", tmp_path / "out", "--server", url, "--json", DPIP_TOKEN="t0ken"
    )
    report = json.loads(result.stdout)
    assert result.exit_code == 3
    assert report["filtered"] == 2
    assert report["failures"] == [
        {"picture": str(folder / "c.png"), "code": "decode_failed", "reason": "It is broken."}
    ]
    assert sum(share["pictures"] for share in report["workers"]) == 2
    assert report["skipped"] == {
        "unsupported": {".nef": 1},
        "hidden": 0,
        "special": 0,
        "linked_folders": [str(folder / "more")],
        "unreadable_folders": [],
    }


def test_a_result_keeps_the_time_of_its_picture(url: str, folder: Path, tmp_path: Path) -> None:
    """Albums sort by it."""
    os.utime(folder / "a.png", ns=(10**18, 10**18 + 7))
    dpip_run(folder, "--out", tmp_path / "out", "--server", url, DPIP_TOKEN="t0ken")
    assert (tmp_path / "out/a.png").stat().st_mtime_ns == 10**18 + 7


def test_files_that_are_there_are_overwritten_only_on_demand(
    api: StubApi, url: str, folder: Path, tmp_path: Path
) -> None:
    """They are named before anything is sent, and are as they were."""
    (folder.parent / "b.png").write_bytes(b"precious")
    arguments = (folder / "sub", "--out", folder.parent, "--server", url)
    result = dpip_run(*arguments, DPIP_TOKEN="t0ken")
    assert result.exit_code == 2
    assert str(folder.parent / "b.png") in result.stderr
    assert api.requests == []
    assert (folder.parent / "b.png").read_bytes() == b"precious"
    result = dpip_run(*arguments, "--overwrite", DPIP_TOKEN="t0ken")
    assert result.exit_code == 0, result.output
    assert (folder.parent / "b.png").read_bytes() == b"fed"


def test_a_folder_that_cannot_be_read_is_told_by_the_exit_code(
    url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest comes back."""
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, DPIP_TOKEN="t0ken")
    assert result.exit_code == 3
    assert f"{folder / 'sub'} cannot be read: Permission denied." in result.stderr
    assert (tmp_path / "out/a.png").exists()


def test_what_was_dropped_is_said(url: str, folder: Path, tmp_path: Path) -> None:
    """A line for each code, with how many and an example; of each picture in JSON."""
    for name in ("c.png", "d.png"):
        (folder / name).write_bytes(b"film")
    asked = (folder, "--out", tmp_path / "out", "--server", url)
    result = dpip_run(*asked, DPIP_TOKEN="t0ken")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (frames,) = [line for line in lines if line.startswith("frames_dropped")]
    assert f"(2 pictures, such as {folder / 'c.png'}): {sentence_of('frames_dropped')}" in frames
    assert any(line.startswith("tea_spilled") and "newer version" in line for line in lines)
    report = json.loads(dpip_run(*asked, "--json", "--overwrite", DPIP_TOKEN="t0ken").stdout)
    assert report["notes"] == [
        {"picture": str(folder / name), "notes": ["frames_dropped", "tea_spilled"]}
        for name in ("c.png", "d.png")
    ]


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_user_logs_in_with_a_password_from_the_environment(
    api: StubApi, url: str, folder: Path, tmp_path: Path, by: str
) -> None:
    """The token of the login, which all else is asked with, is dead when the command is over."""
    user = ["--user", "ädmin"] if by == "option" else []
    variables = {"DPIP_USER_PASSWORD": "pass:wörd"}
    if by == "variable":
        variables["DPIP_USER"] = "ädmin"
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, *user, **variables)
    assert result.exit_code == 0, result.output
    assert api.requests[0] == ("POST", "/login")
    assert api.requests.count(("DELETE", "/logout")) == 1


def test_the_administrator_of_a_server_on_this_machine_needs_no_password(
    api: StubApi, url: str, folder: Path, tmp_path: Path
) -> None:
    """Whoever may read the data directory is trusted with the password in it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/admin-password").write_text("pass:wörd\n")
    result = dpip_run(
        *(folder, "--out", tmp_path / "out", "--server", url),
        DPIP_DATA_DIR=str(tmp_path / "data"),
        DPIP_ADMIN_USER="ädmin",
    )
    assert result.exit_code == 0, result.output


def test_without_credentials_the_ways_to_give_them_are_named(
    url: str, folder: Path, tmp_path: Path
) -> None:
    """Where nobody can be asked, it is a usage error."""
    result = dpip_run(
        *(folder, "--out", tmp_path / "out", "--server", url), DPIP_DATA_DIR=str(tmp_path)
    )
    assert result.exit_code == 2
    assert "DPIP_TOKEN" in result.stderr
    assert "DPIP_USER_PASSWORD" in result.stderr


def test_a_wrong_filter_is_a_usage_error(url: str, folder: Path, tmp_path: Path) -> None:
    """The server's sentence says what is wrong with it."""
    result = dpip_run(
        *(folder, "--filter", "sepia", "--out", tmp_path / "out", "--server", url),
        DPIP_TOKEN="t0ken",
    )
    assert result.exit_code == 2
    assert "filter cannot be 'sepia'" in result.stderr


def test_what_is_asked_for_reaches_the_server(
    api: StubApi, url: str, folder: Path, tmp_path: Path
) -> None:
    """Under the names of the API's fields."""
    result = dpip_run(
        *(folder, "--out", tmp_path / "out", "--server", url),
        *("--tags", "fast,near", "--prefer-tags", "new", "--gpu", "preferred"),
        *(
            "--priority",
            "-3",
            "--png-compression",
            "6",
            "--weight",
            "7",
            "--deadline",
            "2030-01-31T18:00:00Z",
        ),
        DPIP_TOKEN="t0ken",
    )
    assert result.exit_code == 0, result.output
    (wanted,) = api.wanted
    assert wanted["tags"] == "fast,near"
    assert wanted["prefer_tags"] == "new"
    assert (wanted["gpu"], wanted["priority"], wanted["weight"]) == ("preferred", -3, 7)
    assert wanted["deadline"] == "2030-01-31T18:00:00Z"
    assert wanted["png_compression"] == 6


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--priority", "11", "10"),
        ("--weight", "0", "1"),
        ("--gpu", "maybe", "preferred"),
        ("--deadline", "2020-01-01T00:00:00Z", "still to come"),
        ("--tags", "x" * 65, "1 to 64"),
    ],
)
def test_what_cannot_be_asked_for_is_told_before_a_system_is_started(
    folder: Path, tmp_path: Path, option: str, value: str, allowed: str
) -> None:
    """A usage error names the range, and no folder is made."""
    result = dpip_run(folder, "--out", tmp_path / "out", option, value)
    assert result.exit_code == 2
    assert allowed in result.stderr
    assert not (tmp_path / "out").exists()


def test_problems_are_told_before_anything_is_sent(
    api: StubApi, url: str, folder: Path, tmp_path: Path
) -> None:
    """A missing path and two sources of one output are usage errors that name them."""
    result = dpip_run(
        *(folder, folder / "a.png", tmp_path / "missing"),
        *("--out", tmp_path / "out", "--server", url),
        DPIP_TOKEN="t0ken",
    )
    assert result.exit_code == 2
    assert str(tmp_path / "missing") in result.stderr
    assert "would both become" in result.stderr
    assert api.requests == []


def test_workers_are_those_of_a_system_of_its_own(url: str, folder: Path, tmp_path: Path) -> None:
    """The workers of a running server are not this command's to choose."""
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, "--workers", 2)
    assert result.exit_code == 2
    assert "--workers" in result.stderr


def test_a_server_that_is_not_there_is_an_error(folder: Path, tmp_path: Path) -> None:
    """It is raised as what it is, for the program to tell in one line."""
    result = dpip_run(
        *(folder, "--out", tmp_path / "out", "--server", "127.0.0.1:1"), DPIP_TOKEN="t0ken"
    )
    assert isinstance(result.exception, ApiUnreachable)


def test_its_workload_is_removed_from_the_server(
    api: StubApi, url: str, folder: Path, tmp_path: Path
) -> None:
    """Also if pictures have failed, which stay where they came from; ``--keep`` keeps all."""
    (folder / "c.png").write_bytes(b"bad")
    arguments = (folder, "--server", url, "--out")
    assert dpip_run(*arguments, tmp_path / "one", "--keep", DPIP_TOKEN="t0ken").exit_code == 3
    assert api.removed == []
    api.results.clear()
    assert dpip_run(*arguments, tmp_path / "two", DPIP_TOKEN="t0ken").exit_code == 3
    assert api.removed == ["w1"]


def test_its_workload_is_removed_when_it_is_interrupted(
    api: StubApi, url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing of it runs on."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dpip.client.batch.filter_in_workload", interrupt)
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, DPIP_TOKEN="t0ken")
    assert result.exit_code == 130
    assert api.removed == ["w1"]


def test_a_workload_that_cannot_be_removed_is_named(
    api: StubApi, url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the way to remove it; the results are there all the same."""

    def gone(*_: Any) -> None:
        raise ApiUnreachable(url=url, reason="connection refused")

    monkeypatch.setattr("dpip.client.Client.remove_workload", gone)
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, DPIP_TOKEN="t0ken")
    assert result.exit_code == 0
    assert "Workload w1 is still on the server" in result.stderr
    assert f"DELETE -H 'Authorization: Bearer TOKEN' {url}/workloads/w1" in result.stderr


def test_a_picture_that_waits_says_why(
    api: StubApi, url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each reason, with what each worker lacks and what to do."""
    monkeypatch.setattr("dpip.client.batch._QUIET_SECONDS", 0.0)
    api.hold_results.clear()
    explain = Client.explain
    asked: list[str] = []

    def explain_and_go_on(client: Client, image_id: str) -> Explanation:
        asked.append(image_id)
        if len(asked) == 3:
            api.hold_results.set()
        return explain(client, image_id)

    monkeypatch.setattr("dpip.client.Client.explain", explain_and_go_on)
    result = dpip_run(folder, "--out", tmp_path / "out", "--server", url, DPIP_TOKEN="t0ken")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Waiting: No worker can take it now.") == 1
    assert "Worker ada has no tag fast." in result.stderr
    assert "What to do: Have a worker with the tag fast join." in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tags", "rare"], "--tags needs --server"),
        (["--gpu", "required"], "--gpu required needs --server"),
        (["--keep"], "--keep is for --server"),
    ],
)
def test_what_workers_started_here_cannot_have_is_refused_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    """Nothing is started for it."""
    monkeypatch.setattr(Gpus, "read", lambda _: [])
    result = dpip_run(folder, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()
