"""``dpip predict``: what pictures will cost, by what a system has learned or by assumption."""

import asyncio
import json
from pathlib import Path

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.data_directory import DataDirectory
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.formats import read_header
from dpip.model.cost import Cost
from dpip.scheduler.prediction import CostModel
from tests.acceptance.pictures import picture
from tests.acceptance.system import dpip, environment

BLUR = encode_pipeline(parse_pipeline("blur"))


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    file = tmp_path / "photograph.png"
    file.write_bytes(picture(1))
    return file


def keep_what_was_learned(directory: Path, photograph: Path) -> None:
    """Have a system's database hold what jobs on two processors took."""
    with photograph.open("rb") as file:
        header = read_header(file)
    model = CostModel()
    for processor, milliseconds in [("EPYC", 10.0), ("Atom", 40.0)] * 10:
        cost = Cost(milliseconds=1.0, cpu_milliseconds=milliseconds, memory=300 << 20)
        model.learn(BLUR, header, photograph.stat().st_size, processor, cost)

    async def keep() -> None:
        datastore = await SqlDatastore.open(DataDirectory(directory).database_url)
        await datastore.keep_cost_models(model.changed())
        await datastore.close()

    asyncio.run(keep())


def test_without_a_system_it_is_said_to_be_assumed(tmp_path: Path, photograph: Path) -> None:
    """And no database is made."""
    directory = tmp_path / "elsewhere"
    asked = dpip("predict", str(photograph), "--filter", "blur", env=environment(directory))
    assert asked.returncode == 0, asked.stderr
    assert "what DPIP assumes" in asked.stdout
    assert not directory.exists()


def test_what_a_system_has_learned_is_shown_by_processor(tmp_path: Path, photograph: Path) -> None:
    """It lies in the database, and so outlives the processes."""
    directory = tmp_path / "data"
    directory.mkdir()
    keep_what_was_learned(directory, photograph)
    arguments = ["predict", str(photograph), "--filter", "blur"]
    shown = dpip(*arguments, "--json", env=environment(directory))
    atom, epyc = json.loads(shown.stdout)["predictions"]
    assert (atom["processor"], epyc["processor"]) == ("Atom", "EPYC")
    assert atom["cpu_milliseconds"] == pytest.approx(40, rel=0.2)
    assert epyc["cpu_milliseconds"] == pytest.approx(10, rel=0.2)
    assert atom["memory_bytes"] > 250 << 20
    assert atom["gpu_memory_bytes"] > 0
    assert atom["learned_from"] >= 10
    for_people = dpip(*arguments, env=environment(directory)).stdout
    assert "Atom" in for_people
    assert "assumes" not in for_people


def test_files_that_are_no_pictures_are_named(tmp_path: Path, photograph: Path) -> None:
    """The others are predicted all the same, and the exit code tells of them."""
    text = tmp_path / "text.png"
    text.write_text("no picture")
    asked = dpip("predict", str(text), str(photograph), env=environment(tmp_path / "data"))
    assert asked.returncode == 3
    assert f"{text}: This is not a picture" in asked.stderr
    assert "photograph.png" in asked.stdout


def test_what_cannot_be_asked_is_wrong_usage(tmp_path: Path, photograph: Path) -> None:
    """A file that is not there, or a filter that there is not."""
    env = environment(tmp_path / "data")
    assert dpip("predict", str(tmp_path / "none.png"), env=env).returncode == 2
    sepia = dpip("predict", str(photograph), "--filter", "sepia", env=env)
    assert sepia.returncode == 2
    assert "sepia" in sepia.stderr
