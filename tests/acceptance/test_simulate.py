"""``dpip simulate``: the report and the drawing of a small run."""

import json
from pathlib import Path

from tests.acceptance.system import dpip, environment


def test_a_run_is_reported_and_drawn(tmp_path: Path) -> None:
    """The report is one JSON object, and the drawing an SVG."""
    drawing = tmp_path / "placement.svg"
    ran = dpip(
        *("simulate", "--workers", "3", "--jobs", "60", "--seed", "2", "--json"),
        *("--plot", str(drawing)),
        env=environment(tmp_path),
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["seed"] == 2
    assert report["workers"] == 3
    assert report["placements"] >= report["jobs"] == 60
    assert report["makespan_ratio"] >= 1
    assert report["placements_per_second"] > 0
    assert drawing.read_text().startswith("<svg")


def test_what_could_not_be_told_apart_is_not_drawn(tmp_path: Path) -> None:
    """Too many jobs for a drawing are refused, and nothing is run."""
    ran = dpip(
        *("simulate", "--jobs", "5001", "--plot", str(tmp_path / "placement.svg")),
        env=environment(tmp_path),
    )
    assert ran.returncode == 2
    assert "5001" in ran.stderr
    assert "5000" in ran.stderr


def test_a_policy_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """The message names those that there are."""
    ran = dpip("simulate", "--policy", "bogus", env=environment(tmp_path))
    assert ran.returncode == 2
    assert "least_loaded" in ran.stderr
