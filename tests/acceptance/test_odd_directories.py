"""Directories with odd names, and such as this user may not use."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dpip.config import load_settings
from tests.acceptance.pictures import picture
from tests.acceptance.system import dpip, environment
from tests.unprivileged import unprivileged

ODD = "übung 😀 %2F?mode=memory&cache=x#'\"$HOME"

IN_THE_WAY: dict[str, Callable[[Path], Path]] = {
    "the directory": lambda data: data,
    "the database": lambda data: made(data / "dpip.db"),
    "what SQLite keeps beside it": lambda data: made(data / "dpip.db-wal"),
    "the images": lambda data: made(data / "images", directory=True),
    "the message-passing server's": lambda data: made(data / "message-server", directory=True),
    "a secret": lambda data: made(data / "message-server-password", directory=True),
    "a database that is a directory": lambda data: made(data / "dpip.db", directory=True),
    "images that are a file": lambda data: made(data / "images"),
}


def made(path: Path, *, directory: bool = False) -> Path:
    """Something of root's, which others may read."""
    if directory:
        path.mkdir(mode=0o755)
    else:
        path.touch(mode=0o644)
    return path


def run_unprivileged(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = environment(cwd / "nowhere", TMPDIR="/tmp")
    for name in ("HOME", "DPIP_DATA_DIR"):
        env.pop(name, None)
    return subprocess.run(
        [*unprivileged(), sys.executable, "-m", "dpip", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory in which everybody may make files, and that everybody may reach."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o777)
        yield place


def test_names_of_directories_may_be_odd(tmp_path: Path) -> None:
    """Home, data, temporary and scratch directory: everything lies where it should."""
    place = tmp_path / ODD
    place.mkdir()
    (place / "ü😀.png").write_bytes(picture(1))
    env = environment(place / "data", HOME=str(place), TMPDIR=str(place))
    done = dpip("run", str(place / "ü😀.png"), "--out", str(place / "out"), env=env)
    assert done.returncode == 0, done.stderr
    assert (place / "out" / "ü😀.png").exists()
    added = dpip("user", "add", "ann", env=env, input="a password\n")
    assert added.returncode == 0, added.stderr
    assert (place / "data" / "dpip.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [ODD]


def test_without_a_home_a_directory_is_asked_for(open_to_all: Path) -> None:
    """What keeps nothing works all the same."""
    (open_to_all / "a.png").write_bytes(picture(1))
    started = run_unprivileged("up", cwd=open_to_all)
    assert started.returncode == 1
    assert "no home directory" in started.stderr
    assert "--data-dir" in started.stderr
    assert "Traceback" not in started.stderr
    done = run_unprivileged("run", "a.png", "--out", "out", cwd=open_to_all)
    assert done.returncode == 0, done.stderr
    assert (open_to_all / "out" / "a.png").exists()


def test_settings_can_be_shown_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default of the data directory stands as it is written."""

    def no_home(*_: object) -> Path:
        raise RuntimeError

    monkeypatch.setattr("platformdirs.user_data_path", no_home)
    settings, _ = load_settings(environment={}, file=Path("none.toml"))
    assert settings.data_dir.parts[0] == "~"


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_what_may_not_be_used_is_named(open_to_all: Path, case: str) -> None:
    """In a sentence that says what to do."""
    data = open_to_all / "data"
    data.mkdir()
    data.chmod(0o755 if case == "the directory" else 0o777)
    named = IN_THE_WAY[case](data)
    ended = run_unprivileged(
        *("up", "--data-dir", str(data), "--workers", "0", "--port", "0", "--controller-port", "0"),
        cwd=open_to_all,
    )
    assert ended.returncode == 1
    assert f"{named} cannot be used" in ended.stderr
    assert "--data-dir" in ended.stderr
    assert "Traceback" not in ended.stderr
