"""Pictures in and out over real HTTP."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dpip.model.user import Role
from dpip.model.worker import WorkerState
from tests.hostile import POLYGLOTS
from tests.integration.api.system import ApiSession, System, picture


@pytest.fixture
def workload(user: ApiSession) -> str:
    return user.create_workload()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tif", ".avif"])
def test_a_picture_comes_back_as_it_was_sent(user: ApiSession, workload: str, suffix: str) -> None:
    """The bytes, the type, the length and the tag of an original are right."""
    content = picture(16, 16, suffix)
    image_id = user.upload(workload, content)
    answer = user.get(f"/images/{image_id}")
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    subtype = {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:])
    assert answer.headers["Content-Type"] == f"image/{subtype}"


def test_a_picture_is_given_as_nothing_but_a_picture(user: ApiSession, workload: str) -> None:
    """A browser neither guesses what else it could be, nor runs anything in it."""
    image_id = user.upload(workload, POLYGLOTS["script after a gif"])
    headers = user.get(f"/images/{image_id}").headers
    assert headers["Content-Type"] == "image/gif"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Content-Disposition"] == f'inline; filename="{image_id}.gif"'


@pytest.mark.parametrize("kind", ["original", "orginal", None])
@pytest.mark.parametrize("field", ["data", "file", "image"])
def test_an_upload_says_what_was_kept(
    user: ApiSession, workload: str, kind: str | None, field: str
) -> None:
    """The type may be misspelt or left out, and the file has three names."""
    fields = {"workload_id": workload} | ({"type": kind} if kind else {})
    answer = user.post("/images", files={field: picture()}, data=fields)
    assert answer.status_code == 201
    kept = answer.json()
    assert kept == {"workload_id": workload, "image_id": kept["image_id"], "type": "original"}


def test_a_range_of_a_picture_is_given(user: ApiSession, workload: str) -> None:
    """206 with the part, 416 with the size, and the whole for a range that cannot be read."""
    content = picture()
    path = f"/images/{user.upload(workload, content)}"
    part = user.get(path, headers={"Range": "bytes=2-5"})
    assert part.status_code == 206
    assert part.content == content[2:6]
    assert part.headers["Content-Range"] == f"bytes 2-5/{len(content)}"
    assert user.get(path, headers={"Range": "bytes=-3"}).content == content[-3:]
    behind = user.get(path, headers={"Range": "bytes=99999-"})
    assert behind.status_code == 416
    assert behind.headers["Content-Range"] == f"bytes */{len(content)}"
    assert behind.json()["code"] == "range_not_satisfiable"
    assert user.get(path, headers={"Range": "bytes=0-1,3-4"}).content == content


def test_a_picture_that_the_client_has_is_not_sent(user: ApiSession, workload: str) -> None:
    """304 for its own tag; a range only for the picture it is meant for."""
    content = picture()
    path = f"/images/{user.upload(workload, content)}"
    etag = user.get(path).headers["ETag"]
    unchanged = user.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == etag
    assert user.get(path, headers={"If-None-Match": '"x"'}).content == content
    ranged = {"Range": "bytes=0-0"}
    assert user.get(path, headers={**ranged, "If-Range": etag}).status_code == 206
    assert user.get(path, headers={**ranged, "If-Range": '"x"'}).status_code == 200


def test_head_and_a_get_with_a_body_work(user: ApiSession, workload: str) -> None:
    """HEAD gives the headers alone, and a body on a GET is ignored."""
    content = picture()
    path = f"/images/{user.upload(workload, content)}"
    head = user.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(content))
    assert user.get(path, json={"image_id": "x"}).content == content


def test_images_of_another_look_like_none(system: System, user: ApiSession, workload: str) -> None:
    """Only its owner and administrators see an image or add one to a workload."""
    image = user.upload(workload)
    other, admin = system.user(), system.user(Role.ADMINISTRATOR)
    assert admin.get(f"/images/{image}").status_code == 200
    assert other.get(f"/images/{image}").status_code == 404
    before = system.files()
    refused = other.post("/images", files={"data": picture()}, data={"workload_id": workload})
    assert refused.status_code == 404
    assert refused.json()["kind"] == "workload"
    assert system.files() == before, "nothing of it was kept"


def test_a_worker_exchanges_the_images_of_its_jobs(
    system: System, user: ApiSession, workload: str
) -> None:
    """It reads the original and writes the result while it holds the lease, and nothing else."""
    image = user.upload(workload, picture())
    name, worker = system.worker()
    _, stranger = system.worker()
    assert worker.get(f"/images/{image}").status_code == 404, "not leased yet"
    lease = system.lease(image, name)
    assert worker.get(f"/images/{image}").content == picture()
    assert stranger.get(f"/images/{image}").status_code == 404

    before = system.files()
    refused: list[tuple[ApiSession, dict[str, object], int]] = [
        (stranger, {}, 409),
        (worker, {"attempt": lease.attempt + 1}, 409),
        (worker, {"job_id": "0" * 26}, 409),
        (worker, {"milliseconds": "fast"}, 422),
        (worker, {"attempt": ""}, 422),
        (worker, {"sha256": ""}, 422),
        (worker, {"type": "original"}, 403),
        (user, {}, 403),
    ]
    for session, changes, status in refused:
        answer = session.hand_in(workload, lease, **changes)
        assert answer.status_code == status, (changes, answer.text)
    assert system.files() == before, "nothing of the refused results was kept"

    result = picture(4, 3, ".png[compression=0]")
    answer = worker.hand_in(workload, lease, result)
    assert answer.status_code == 201, answer.text
    assert answer.json()["type"] == "filtered"
    shown = user.get(f"/workloads/{workload}").json()
    assert shown["filtered_images"] == [answer.json()["image_id"]]
    assert shown["status"] == "completed"
    assert user.get(f"/images/{shown['filtered_images'][0]}").content == result

    late = worker.hand_in(workload, lease, result)
    assert late.status_code == 409
    assert late.json()["code"] == "stale_attempt"
    assert worker.get(f"/images/{image}").status_code == 404, "the lease is over"
    assert len(system.files() - before) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/status"),
        ("GET", "/workloads"),
        ("POST", "/workloads"),
        ("GET", "/workloads/x"),
        ("GET", "/workloads/x/results"),
        ("DELETE", "/logout"),
    ],
)
def test_a_worker_is_let_in_nowhere_else(system: System, method: str, path: str) -> None:
    """A worker's token opens images alone."""
    answer = system.worker()[1].request(method, path)
    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("state", [WorkerState.LEFT, WorkerState.LOST])
def test_the_token_of_a_worker_dies_with_it(
    system: System, user: ApiSession, workload: str, state: WorkerState
) -> None:
    """Even where a lease is still out in its name."""
    image = user.upload(workload, picture())
    name, worker = system.worker()
    lease = system.lease(image, name)
    assert worker.get(f"/images/{image}").status_code == 200
    system.do(system.datastore.end_worker(name, state, 0))
    assert worker.get(f"/images/{image}").status_code == 401
    fields = {
        "type": "filtered",
        "workload_id": workload,
        "job_id": lease.job_id,
        "attempt": str(lease.attempt),
        "milliseconds": "1",
    }
    late = worker.post("/images", files={"data": picture()}, data=fields)
    assert late.status_code == 401


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".kept"))
    path.symlink_to(path.with_suffix(".kept"))


def link_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_suffix(".kept"))
    path.parent.symlink_to(path.parent.with_suffix(".kept"))


@pytest.mark.parametrize("damage", [truncate, empty, lengthen, change, link, link_directory])
@pytest.mark.parametrize("content", [picture(), picture() + bytes(300_000)], ids=["one", "more"])
def test_a_damaged_picture_is_an_error_before_its_first_byte(
    system: System, user: ApiSession, damage: Callable[[Path], object], content: bytes
) -> None:
    """Asked for as a whole or in part, in one block or in several, or only for its headers."""
    image_id = user.upload(user.create_workload(), content)
    (path,) = (file for file in system.files() if file.stem == image_id)
    damage(path)
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=-1"}):
        answer = user.get(f"/images/{image_id}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (500, "image_damaged")
        assert "An operator has to restore them" in answer.json()["detail"]
    assert user.head(f"/images/{image_id}").status_code == 500
