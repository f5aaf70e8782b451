"""More to do than may be waiting."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import System
from tests.waiting import eventually


@pytest.fixture
def bounds() -> dict[str, str]:
    """What a test bounds, as settings."""
    return {"DPIP_LIMITS__PENDING_JOBS": "3"}


@pytest.fixture
def narrow_system(tmp_path: Path, bounds: dict[str, str]) -> Iterator[System]:
    """A system without a worker, with these bounds."""
    system = System(tmp_path, workers=0, **bounds)
    yield system
    system.process.stop()


def test_uploads_are_put_off_until_there_is_room(narrow_system: System) -> None:
    """429 with ``Retry-After``, nothing kept; once a worker has made room they are taken."""
    api = narrow_system.api
    workload_id = api.create()["workload_id"]
    for number in range(3):
        api.push(workload_id, picture(number))
    refused = api.session.post(
        f"{api.url}/images", files={"data": picture(3)}, data={"workload_id": workload_id}
    )
    assert (refused.status_code, refused.json()["code"]) == (429, "too_busy")
    assert int(refused.headers["Retry-After"]) > 0
    assert api.workload(workload_id)["counts"]["pending"] == 3
    worker = narrow_system.worker("late")
    api.until_completed(workload_id)
    api.push(workload_id, picture(3))
    done = api.until_completed(workload_id)
    assert len(done["filtered_images"]) == 4
    worker.stop()


@pytest.mark.parametrize("bounds", [{"DPIP_LIMITS__INCOMING_BYTES": "200000"}])
def test_bytes_on_their_way_in_are_bounded(narrow_system: System) -> None:
    """While one upload fills a user's share, a second is put off; then it is taken."""
    api = narrow_system.api
    workload_id = api.create()["workload_id"]
    host, port = api.url.removeprefix("http://").split(":")

    def push() -> int:
        form = {"workload_id": workload_id}
        files = {"data": picture(0)}
        return api.session.post(f"{api.url}/images", files=files, data=form).status_code

    with socket.create_connection((host, int(port)), timeout=60) as slow:
        head = [
            "POST /images HTTP/1.1",
            f"Host: {host}",
            f"Authorization: {api.session.headers['Authorization']!s}",
            "Content-Type: multipart/form-data; boundary=b",
            "Content-Length: 199000",
        ]
        part = b'--b\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n'
        slow.sendall("\r\n".join([*head, "", ""]).encode() + part + bytes(50_000))
        eventually(lambda: push() == 429, "the share to be full")
    eventually(lambda: push() == 201, "an upload to be taken")
