import json
import sys
from pathlib import Path

import pytest

from dpip.client import local_system as module
from dpip.client.local_system import local_system
from dpip.errors import CannotStart

READY = """
import json, signal
print(json.dumps({"api": "http://127.0.0.1:1", "user": "admin", "controller": "x",
    "data_dir": "y"}), flush=True)
signal.pause()
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder in which temporary directories are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def run_instead(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    def command(data_dir: Path, workers: int | None) -> list[str]:
        data_dir.mkdir()
        return [sys.executable, "-c", script]

    monkeypatch.setattr(module, "_command", command)


def test_it_runs_as_long_as_it_is_needed(monkeypatch: pytest.MonkeyPatch, started: Path) -> None:
    """Afterwards neither the process nor its data are left, whatever ended the need."""
    run_instead(monkeypatch, READY)

    def need_it() -> None:
        with local_system() as system:
            assert (system.api, system.user) == ("http://127.0.0.1:1", "admin")
            assert len(list(started.iterdir())) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        need_it()
    assert list(started.iterdir()) == []


def test_it_sees_no_settings_but_those_it_is_given(
    monkeypatch: pytest.MonkeyPatch, started: Path
) -> None:
    """A database that the environment names for another system stays untouched."""
    monkeypatch.setenv("DPIP_DATABASE_URL", "postgresql://elsewhere")
    seen = started / "seen"
    run_instead(
        monkeypatch,
        f"import json, os; open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))\n" + READY,
    )
    with local_system(settings={"DPIP_LIMITS__PIXELS": "7"}) as system:
        environment = json.loads(seen.read_text())
    names = {name for name in environment if name.startswith("DPIP_")}
    assert names == {"DPIP_LIMITS__PIXELS", "DPIP_ADMIN_PASSWORD", "DPIP_CONFIG"}
    assert environment["DPIP_ADMIN_PASSWORD"] == system.password
    config = Path(environment["DPIP_CONFIG"])
    assert config.name == "dpip.toml"
    assert environment["TMPDIR"] == str(config.parent)  # What is left there goes with it.


def test_a_start_that_fails_shows_its_last_words(
    monkeypatch: pytest.MonkeyPatch, started: Path
) -> None:
    """The end of the log is in the error, and nothing is left behind."""
    run_instead(monkeypatch, "import sys; sys.exit('no room on the disk')")
    with pytest.raises(CannotStart, match="no room on the disk"), local_system():
        pass
    assert list(started.iterdir()) == []
