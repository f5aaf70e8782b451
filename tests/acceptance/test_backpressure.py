"""More to do than may be waiting."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import System
from tests.waiting import eventually

NARROW = {
    "test_uploads_are_put_off_until_there_is_room": {"DPIP_LIMITS__PENDING_JOBS": "3"},
    "test_bytes_on_their_way_in_are_bounded": {"DPIP_LIMITS__INCOMING_BYTES": "200000"},
}


@pytest.fixture
def narrow_system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    """A system without a worker, with the bound that the test is about."""
    system = System(tmp_path, workers=0, **NARROW[request.node.name])
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


def test_bytes_on_their_way_in_are_bounded(narrow_system: System) -> None:
    """While one upload has announced most of the room, a second is put off; then it is taken."""
    api = narrow_system.api
    workload_id = api.create()["workload_id"]
    host, port = api.url.removeprefix("http://").split(":")

    def push_is_taken() -> bool:
        answer = api.session.post(
            f"{api.url}/images", files={"data": picture(0)}, data={"workload_id": workload_id}
        )
        assert answer.status_code in (201, 429), answer.text
        return answer.status_code == 201

    with socket.create_connection((host, int(port))) as slow:
        head = (
            f"POST /images HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: {api.session.headers['Authorization']!s}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 199000\r\n\r\n--b"
        )
        slow.sendall(head.encode())
        eventually(lambda: not push_is_taken(), "an upload to be put off")
    eventually(push_is_taken, "an upload to be taken")
