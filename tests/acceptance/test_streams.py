"""Standard streams that are closed, that nobody reads, that are full or lack a letter."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import environment
from tests.waiting import eventually

DPIP = f"{sys.executable} -m dpip"


def shell(command: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command], env=env, cwd=cwd, capture_output=True, timeout=120, check=False
    )


def letters(*encoding: str) -> dict[str, str]:
    variables = ("LC_ALL", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONIOENCODING")
    return dict(zip(variables, encoding, strict=False))


@pytest.mark.parametrize(
    "command",
    [
        f"{DPIP} run a.png --out out --workers 1 >&-",
        f"{DPIP} run a.png --out out --workers 1 <&- >&- 2>&-",
        f"{DPIP} run a.png --out out --workers 1 --json | head -c 0; exit ${{PIPESTATUS[0]}}",
        f"{DPIP} config >&-",
        f"{DPIP} config | head -n 0; exit ${{PIPESTATUS[0]}}",
        f"{DPIP} --help >&-",
        f"{DPIP} --version | head -c 0; exit ${{PIPESTATUS[0]}}",
    ],
)
def test_output_that_nobody_reads_is_no_failure(tmp_path: Path, command: str) -> None:
    """What the command did is done, and it says nothing of the output."""
    (tmp_path / "a.png").write_bytes(picture(1))
    ran = shell(command, environment(tmp_path / "unused"), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert b"Error" not in ran.stderr
    assert not (" run " in command and not (tmp_path / "out/a.png").exists())


def test_output_that_does_not_fit_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A report that is cut must not look like a whole one."""
    ran = shell(f"{DPIP} config > /dev/full", environment(tmp_path / "unused"), tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.decode().splitlines() == [
        "dpip: There is no space left in the file of the output. "
        "Make room, and run the command again, with --overwrite if some results are there already."
    ]


@pytest.mark.parametrize(
    "encoding",
    [("C",), ("C", "0", "0"), ("C.UTF-8",), ("C.UTF-8", "1", "1", "latin-1")],
    ids=" ".join,
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_any_name_can_be_printed(
    tmp_path: Path, encoding: Sequence[str], options: Sequence[str]
) -> None:
    """Letters that the terminal lacks, and bytes that are no text; the JSON can be read."""
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)  # noqa: PTH102
    for name in ("h\u00e9llo \u65e5.png".encode(), b"bytes\xff.png"):
        with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(b"no picture")
    env = {**environment(tmp_path / "unused"), **letters(*encoding)}
    ran = shell(f"{DPIP} run in --out out --workers 1 {' '.join(options)}", env, tmp_path)
    assert ran.returncode == 3, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert ran.stdout.count(b"unsupported_picture") == 2
    if options:
        assert len(json.loads(ran.stdout)["failures"]) == 2


def test_a_terminal_that_closes_leaves_nothing_behind(tmp_path: Path) -> None:
    """What the command has to say can no longer be written."""
    (tmp_path / "in").mkdir()
    (tmp_path / "tmp").mkdir()
    for number in range(100):
        (tmp_path / "in" / f"{number}.png").write_bytes(picture(number, size=300))
    out, env = tmp_path / "out", environment(tmp_path / "x", TMPDIR=str(tmp_path / "tmp"))
    child, terminal = pty.fork()
    if child == 0:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "dpip", "run", str(tmp_path / "in"), "--out", str(out)],
            env,
        )
    try:
        eventually(lambda: list(out.glob("*.png")), "the first picture")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert list((tmp_path / "tmp").iterdir()) == []
