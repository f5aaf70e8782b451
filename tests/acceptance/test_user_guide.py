"""The examples of the user guide, run as they are written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture, pixels
from tests.acceptance.system import ADMIN, System

GUIDE = Path(__file__).parents[2].joinpath("user-guide.md").read_text()


def examples(language: str, system: System) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    address = system.ready["api"].removeprefix("http://")
    return [block.replace("localhost:8080", address) for block in blocks]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures that the examples name."""
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    return tmp_path


@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("curl"), reason="needs curl and jq")
def test_the_examples_with_curl_work(system: System, folder: Path) -> None:
    """A shell that runs them one after the other ends with the filtered pictures."""
    script = "\n".join(["set -eo pipefail", *examples("sh", system)])
    env = {**os.environ, "DPIP_ADMIN_PASSWORD": ADMIN[1]}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "urn:dpip:error" not in done.stdout, done.stdout
    assert '"position":2' in done.stdout
    assert "Goodbye" in done.stdout
    filtered = [path for path in folder.glob("*.png") if not path.stem.isdigit()]
    assert len(filtered) == 2


@pytest.mark.parametrize(("number", "made"), [(0, ["filtered/0.png"]), (1, ["0-blurred.png"])])
def test_the_examples_in_python_work(
    system: System, folder: Path, number: int, made: list[str]
) -> None:
    """Each program runs to its end and leaves the pictures that it names."""
    assert run_program(system, folder, number) == ""
    for name in made:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_a_damaged_frame_leaves_the_others_their_names(system: System, folder: Path) -> None:
    """A film keeps its length: what cannot be filtered is named, and stays as it was."""
    frames = {name: picture(number) for number, name in enumerate("02", start=1)}
    damaged = {"1": picture(3)[:200], "3": b"no picture"}
    for name, content in (frames | damaged).items():
        (folder / f"{name}.png").write_bytes(content)
    said = run_program(system, folder, 0)
    filtered = {path.stem: path.read_bytes() for path in (folder / "filtered").iterdir()}
    assert sorted(filtered) == ["0", "1", "2", "3"]
    assert {name: filtered[name] for name in damaged} == damaged
    for name, content in frames.items():
        assert pixels(filtered[name]).shape[:2] == pixels(content).shape[:2]
        assert filtered[name] != content
    assert sorted(line.split()[0] for line in said.splitlines()) == ["1.png", "3.png"]


def run_program(system: System, folder: Path, number: int) -> str:
    """Run the guide's program of that number to its end; what it has said."""
    done = subprocess.run(
        [sys.executable, "-c", examples("python", system)[number]],
        cwd=folder,
        env={**os.environ, "DPIP_ADMIN_PASSWORD": ADMIN[1]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
