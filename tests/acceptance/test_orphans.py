"""What a killed API leaves among the images is moved aside; what it has acknowledged stays."""

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import requests

from dpip.data_directory import DataDirectory
from tests.acceptance.pictures import picture
from tests.acceptance.system import System
from tests.waiting import eventually


def test_a_picture_without_a_row_is_moved_aside_at_the_next_start(tmp_path: Path) -> None:
    """The API is killed when it has put a picture in its place and waits to commit the row."""
    system = System(tmp_path, workers=0)
    api = system.api
    workload_id = api.create()["workload_id"]
    acknowledged = api.push(workload_id, picture(0))
    data = DataDirectory(system.data_dir)

    def files() -> set[str]:
        return {path.stem for path in data.images.glob(f"*/{workload_id}/*/*")}

    def push() -> None:
        with suppress(requests.ConnectionError, AssertionError):
            api.push(workload_id, picture(1))

    with closing(sqlite3.connect(data.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        upload = threading.Thread(target=push)
        upload.start()
        eventually(lambda: len(files()) == 2, "the picture to be in its place")
        system.process.kill()
        upload.join()
    assert len(files()) == 2

    (tmp_path / "again").mkdir()
    system = System(tmp_path / "again", workers=1, DPIP_DATA_DIR=str(data.path))
    try:
        eventually(lambda: files() == {acknowledged}, "the orphan to be moved aside")
        done = system.api.until_completed(workload_id)
        assert system.api.pull(acknowledged) == picture(0)
        assert len(done["filtered_images"]) == 1
        (aside,) = data.images.glob(f".orphans/*/*/{workload_id}/original/*")
        assert aside.read_bytes() == picture(1)
        assert "images without a row moved aside" in system.process.said
    finally:
        system.process.stop()
