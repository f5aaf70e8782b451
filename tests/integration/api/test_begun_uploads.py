"""Uploads that begin, and whose end does not come."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dpip.api.admission import Admission
from dpip.model.job import Lease
from dpip.model.user import Role
from tests.integration.api.system import ApiSession, System, picture, wait_until
from tests.unit.api.test_multipart import CONTENT_TYPE, part

ANNOUNCED = 500_000


@contextmanager
def begun_upload(session: ApiSession, *parts: bytes) -> Iterator[socket.socket]:
    """Announce a large body and send its first parts; yields the connection."""
    host, port = session.url.removeprefix("http://").split(":")
    head = [
        "POST /images HTTP/1.1",
        "Host: x",
        f"Authorization: {session.headers['Authorization']!s}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {ANNOUNCED}",
    ]
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + b"".join(parts))
        yield connection


@pytest.fixture
def admission(system: System) -> Iterator[Admission]:
    """Lets in no more bytes at once than one upload announces."""
    context = system.app.state.context
    before = context.admission
    tight = Admission(system.datastore, pending_jobs=100_000, incoming_bytes=ANNOUNCED)
    object.__setattr__(context, "admission", tight)
    yield tight
    object.__setattr__(context, "admission", before)


def test_who_announces_much_and_sends_little_keeps_nobody_waiting(
    admission: Admission, user: ApiSession, system: System
) -> None:
    """Another user's upload is taken, and one of the same user."""
    other = system.user()
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(begun_upload(user, part("data", b"GIF89a", "x.gif")[:-2]))
        wait_until(lambda: admission._of_all.uploads == 16)
        other.upload(other.create_workload())
        user.upload(user.create_workload())
    wait_until(lambda: not admission._of_all.uploads)


@pytest.mark.parametrize("role", [Role.USER, Role.ADMINISTRATOR])
def test_who_sends_much_keeps_only_themselves_waiting(
    admission: Admission, system: System, role: Role
) -> None:
    """What has come of a quarter of the bytes is all that comes; another user's upload is taken."""
    user, other = system.user(role), system.user()
    workload = user.create_workload()
    with begun_upload(user, part("data", bytes(ANNOUNCED // 4), "x.gif")):
        wait_until(lambda: admission._of_all.size >= ANNOUNCED // 4)
        answer = user.post("/images", files={"data": picture()}, data={"workload_id": workload})
        assert answer.status_code == 429
        assert answer.json()["setting"] == "limits.incoming_bytes"
        assert "your pictures" in answer.json()["detail"]
        other.upload(other.create_workload())
    wait_until(lambda: not admission._of_all.uploads)
    user.upload(workload)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, 409), ({"job_id": "0" * 26}, 409), ({"type": "original"}, 403), ({"type": ""}, 422)],
)
def test_a_worker_without_the_lease_is_refused_before_the_picture(
    system: System, user: ApiSession, changes: dict[str, str], status: int
) -> None:
    """The answer comes while the body is still due, and nothing of it is kept."""
    lease = system.lease(user.upload(user.create_workload()), system.worker()[0])
    _, stranger = system.worker()
    before = system.files()
    fields = result_fields(lease) | changes
    parts = [part(name, value.encode()) for name, value in fields.items()]
    with begun_upload(stranger, *parts, part("data", b"x", "x")) as connection:
        assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())
    assert system.files() == before


def test_a_worker_names_its_job_before_the_picture(system: System, user: ApiSession) -> None:
    """Else it could send one without a lease."""
    name, worker = system.worker()
    lease = system.lease(user.upload(user.create_workload()), name)
    fields = [part(name, value.encode()) for name, value in result_fields(lease).items()]
    with begun_upload(worker, fields[0], part("data", b"x", "x"), *fields[1:]) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 422 ")


def result_fields(lease: Lease) -> dict[str, str]:
    return {"type": "filtered", "job_id": lease.job_id, "attempt": str(lease.attempt)}
