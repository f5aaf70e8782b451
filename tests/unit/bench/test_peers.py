import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dpip.bench.contest import CannotTakePart, LeftOut
from dpip.bench.peers import PEERS, running_peers
from dpip.client.targets import Picture

COPIES = """
import json, shutil, sys
print(json.dumps({"ready": "copies"}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if job["steps"][0]["filter"] == "blur":
        print(json.dumps({"left_out": "it has no blur"}), flush=True)
        continue
    for source, target in job["pictures"]:
        shutil.copy(source, target)
    print(json.dumps({"seconds": 0.5}), flush=True)
"""
ABSENT = """
print('{"left_out": "there is no vips here: apt-get install libvips-tools"}')
"""
CRASHES = "raise SystemExit(1)"


def test_peers_are_told_their_jobs_and_left_out_with_a_reason(tmp_path: Path) -> None:
    """A peer filters what it can; one that cannot start is named with its own words."""
    programs = tmp_path / "peers"
    programs.mkdir()
    for name, text in {"copies": COPIES, "vips": ABSENT, "crashes": CRASHES}.items():
        (programs / f"{name}.py").write_text(text)
    picture = Picture(tmp_path / "a.png", tmp_path / "b.png")
    picture.source.write_bytes(b"picture")
    started: list[str] = []
    before = set(psutil.Process().children(recursive=True))
    with running_peers(started.append, programs) as (peers, left_out):
        assert started == ["copies", "crashes", "vips"]
        assert left_out == [
            LeftOut(name="crashes", reason="it has ended"),
            LeftOut(name="vips", reason="there is no vips here: apt-get install libvips-tools"),
        ]
        (copies,) = peers
        assert copies.how == "copies"
        assert copies.filter([picture], "grayscale") == 0.5
        assert picture.target.read_bytes() == b"picture"
        with pytest.raises(CannotTakePart, match="it has no blur"):
            copies.filter([picture], "blur")
        copies.stop()
        assert copies.filter([picture], "grayscale") == 0.5
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_package_without_peers_says_where_they_are(tmp_path: Path) -> None:
    """Peers come with the source code alone."""
    with running_peers(print, tmp_path / "none") as (peers, left_out):
        assert peers == []
        assert "come with the source code" in left_out[0].reason


@pytest.mark.parametrize("program", sorted(PEERS.glob("*.py")), ids=lambda program: program.stem)
def test_a_peer_that_is_not_here_says_so(program: Path, tmp_path: Path) -> None:
    """Without the programs that it needs, and where nothing can be installed, it ends in a line."""
    (tmp_path / "cache").write_text("No folder can be made here.")
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ran = subprocess.run(
        [sys.executable, str(program)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.startswith('{"left_out": "'), ran.stdout + ran.stderr
    assert len(ran.stdout.splitlines()) == 1
