"""Directories of workers that live and of workers that were killed."""

import subprocess
import sys
from pathlib import Path

from dpip.worker.scratch import scratch_directory

HOLD = """
import sys
from pathlib import Path
from dpip.worker.scratch import scratch_directory
with scratch_directory(Path(sys.argv[1])) as directory:
    (directory / "picture.png").touch()
    print(directory, flush=True)
    sys.stdin.read()
"""


def test_nothing_is_left(tmp_path: Path) -> None:
    """Of the directory and what was in it."""
    with scratch_directory(tmp_path) as directory:
        (directory / "picture.png").touch()
        assert directory.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_two_have_directories_of_their_own(tmp_path: Path) -> None:
    """The second leaves the first alone."""
    with scratch_directory(tmp_path) as first:
        (first / "picture.png").touch()
        with scratch_directory(tmp_path) as second:
            assert first != second
        assert (first / "picture.png").exists()


def test_what_a_killed_worker_left_is_removed(tmp_path: Path) -> None:
    """When the next one starts, and not before the worker has ended."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as held:
        assert held.stdout
        theirs = Path(held.stdout.readline().strip())
        with scratch_directory(tmp_path):
            assert (theirs / "picture.png").exists()
        held.kill()
    assert (theirs / "picture.png").exists()
    with scratch_directory(tmp_path):
        assert not theirs.exists()


def test_what_is_somebody_elses_stays(tmp_path: Path) -> None:
    """Files and links of such a name, and where the links lead."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "dpip-worker-link").symlink_to(tmp_path / "kept")
    (tmp_path / "dpip-worker-file").touch()
    with scratch_directory(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {
        "kept",
        "dpip-worker-link",
        "dpip-worker-file",
    }
