import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def check(baselines: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.instructions", "--baselines", str(baselines), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_path_that_grew_fails_and_no_other(tmp_path: Path) -> None:
    """Counts are the same again; one beyond its tolerance is named, and one that shrank is not."""
    baselines = tmp_path / "baselines.json"
    baselines.write_text("{}")
    assert check(baselines).returncode == 1
    assert check(baselines, "--update").returncode == 0
    counts = json.loads(baselines.read_text())
    again = check(baselines)
    assert again.returncode == 0, again.stdout + again.stderr
    counts[VERSION]["placement"] = int(counts[VERSION]["placement"] * 0.9)
    counts[VERSION]["upload"] *= 2
    baselines.write_text(json.dumps(counts))
    grown = check(baselines)
    assert grown.returncode == 1
    assert [line.split()[0] for line in grown.stdout.splitlines() if "REGRESSION" in line] == [
        "placement"
    ]


def test_stored_counts_are_those_of_all_paths() -> None:
    """A path without a baseline would never fail."""
    stored = json.loads((ROOT / "bench/baselines/instructions.json").read_text())
    if VERSION not in stored:
        pytest.skip(f"there are no baselines for Python {VERSION}")
    names = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from bench.hot_paths import HOT_PATHS; print(*(each.__name__ for each in HOT_PATHS))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(stored[VERSION]) == set(names.stdout.split())
