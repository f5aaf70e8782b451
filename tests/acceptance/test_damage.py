"""What the disk has done to the pictures is said, never shown."""

from pathlib import Path

import pytest
import requests

from tests.acceptance.pictures import picture
from tests.acceptance.system import System

SMALL, LARGE = 96, 900
"""Edges of pictures that the API sends in one block and in several."""


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def file_of(system: System, image_id: str) -> Path:
    return next((system.data_dir / "images").rglob(f"{image_id}.png"))


def test_an_original_that_was_damaged_fails_its_job(tmp_path: Path) -> None:
    """With the reason, after three attempts; its neighbour is filtered."""
    system = System(tmp_path, workers=0)
    try:
        api = system.api
        workload_id = api.create()["workload_id"]
        small = api.push(workload_id, picture(0, size=SMALL))
        large = api.push(workload_id, picture(1, size=LARGE))
        lost = api.push(workload_id, picture(2))
        api.push(workload_id, picture(3))
        flip_a_bit(file_of(system, small))
        flip_a_bit(file_of(system, large))
        file_of(system, lost).unlink()
        worker = system.worker("late", "--slots", "2")
        done = api.until_completed(workload_id)
        worker.stop()
        codes = {failed["image_id"]: failed["code"] for failed in done["failed_images"]}
        assert codes == dict.fromkeys([small, large, lost], "original_unavailable")
        assert len(done["filtered_images"]) == 1
    finally:
        system.process.stop()


def test_a_damaged_picture_is_never_given_out_whole(system: System) -> None:
    """A small one is refused, and a part of any; of a large one the answer breaks off."""
    api = system.api
    workload_id = api.create()["workload_id"]
    small, large = (api.push(workload_id, picture(0, size=size)) for size in (SMALL, LARGE))
    api.until_completed(workload_id)
    for image_id in (small, large):
        flip_a_bit(file_of(system, image_id))
    refused = api.session.get(f"{api.url}/images/{small}")
    assert (refused.status_code, refused.json()["code"]) == (500, "image_damaged")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.session.get(f"{api.url}/images/{large}")
    for image_id in (small, large):
        part = api.session.get(f"{api.url}/images/{image_id}", headers={"Range": "bytes=1-"})
        assert (part.status_code, part.json()["code"]) == (500, "image_damaged")
