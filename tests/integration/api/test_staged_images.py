"""Pictures that lie in the image store's file system already: only their commit is asked for."""

import errno
import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from dpip.client import Client
from dpip.controller.image_directories import ImageDirectories
from dpip.direct_store import DirectStore
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.image_place import STAGING, staging_area
from dpip.model.job import JobState, Lease
from dpip.ports.image_store import StagedFile
from tests.integration.api.system import SETTINGS, ApiSession, System, picture

HOSTILE: dict[str, Callable[[Path, Path], object]] = {
    "a link to another's picture": lambda path, other: path.symlink_to(other),
    "a link to nothing": lambda path, _: path.symlink_to("/nowhere"),
    "another name of another's picture": lambda path, other: path.hardlink_to(other),
    "a directory": lambda path, _: path.mkdir(),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a socket": lambda path, _: _listen_at(path),
}


def _listen_at(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # The whole path is longer than the name of a socket may be.
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


class Sharer:
    """A process that shares the file system with the API."""

    def __init__(self, images: Path, session: ApiSession) -> None:
        self.session = session
        self.images = images
        token = str(session.headers["Authorization"]).removeprefix("Bearer ")
        self.store = DirectStore(images, token)
        self.area = images / STAGING / staging_area(token)

    def stage(self, content: bytes) -> str:
        name = new_id()
        (self.area / name).write_bytes(content)
        return name


class Program(Sharer):
    """One of a user's."""

    def take(self, workload: str, *names: str, key: str | None = None) -> requests.Response:
        pictures = [{"name": name, "key": key or name} for name in names]
        return self.session.post(f"/workloads/{workload}/staged", json={"pictures": pictures})


class Taken(NamedTuple):
    """What became of a staged picture."""

    status: int
    image_id: str | None
    detail: str | None


class Neighbour(Sharer):
    """A worker."""

    def __init__(self, system: System) -> None:
        self.name, session = system.worker()
        super().__init__(system.data_dir / "images", session)

    def commit(
        self, workload: str, lease: Lease, name: str, content: bytes = b"", **changes: object
    ) -> Taken:
        """Hand in what is staged under ``name``, said to be ``content``; what became of it."""
        result: dict[str, object] = {
            "name": name,
            "workload_id": workload,
            "job_id": lease.job_id,
            "attempt": lease.attempt,
            "milliseconds": 2.5,
            "sha256": hashlib.sha256(content or picture()).hexdigest(),
        }
        answer = self.session.post("/staged-results", json={"results": [result | changes]})
        if answer.status_code != 201:
            return Taken(answer.status_code, None, answer.json()["detail"])
        (taken,) = answer.json()["pictures"]
        return Taken(taken["status"], taken["image_id"], taken["detail"])


@pytest.fixture
def program(system: System, user: ApiSession) -> Iterator[Program]:
    program = Program(system.data_dir / "images", user)
    yield program
    program.store.close()


@pytest.fixture
def neighbour(system: System) -> Iterator[Neighbour]:
    neighbour = Neighbour(system)
    yield neighbour
    neighbour.store.close()


@pytest.fixture
def workload(user: ApiSession) -> str:
    return user.create_workload()


@pytest.fixture
def image(user: ApiSession, workload: str) -> str:
    return user.upload(workload)


@pytest.fixture
def lease(system: System, image: str, neighbour: Neighbour) -> Lease:
    return system.lease(image, neighbour.name)


def job_state(system: System, image: str) -> JobState:
    job = system.do(system.datastore.job_of_image(image))
    assert job
    return job.state


def test_who_has_made_its_staging_area_is_told_that_the_api_sees_it(
    system: System, neighbour: Neighbour
) -> None:
    """And nobody else: another token has another area."""
    assert neighbour.session.get("/staging-area").status_code == 204
    assert system.worker()[1].get("/staging-area").status_code == 404


def test_a_link_is_no_staging_area(system: System, tmp_path: Path) -> None:
    """The API follows none: not to see one, and not to take a picture."""
    user = system.user()
    workload = user.create_workload()
    token = str(user.headers["Authorization"]).removeprefix("Bearer ")
    area = system.data_dir / "images" / STAGING / staging_area(token)
    area.symlink_to(tmp_path)
    name = new_id()
    (tmp_path / name).write_bytes(picture())
    try:
        assert user.get("/staging-area").status_code == 404
        body = {"pictures": [{"name": name, "key": "k"}]}
        answer = user.post(f"/workloads/{workload}/staged", json=body)
        assert answer.json()["pictures"][0]["status"] == 404
        assert (tmp_path / name).exists()
    finally:
        area.unlink()


def test_a_staged_result_is_committed(
    system: System, user: ApiSession, neighbour: Neighbour, workload: str, lease: Lease
) -> None:
    """It is the API's then, and there to be downloaded."""
    name = neighbour.stage(picture())
    answer = neighbour.commit(workload, lease, name)
    assert answer.status == 201, answer.detail
    assert user.get(f"/images/{answer.image_id}").content == picture()
    assert not list(neighbour.area.iterdir())
    assert not [path for path in system.files() if name in path.name]


def test_a_staged_result_carries_its_notes(
    user: ApiSession, neighbour: Neighbour, workload: str, lease: Lease
) -> None:
    """As one that is sent does."""
    answer = neighbour.commit(workload, lease, neighbour.stage(picture()), notes="frames_dropped")
    assert answer.status == 201, answer.detail
    (result,) = user.get(f"/workloads/{workload}/results").json()["results"]
    assert result["notes"] == ["frames_dropped"]


def test_staged_originals_are_taken_in(program: Program, workload: str) -> None:
    """Each is an image or has its own reason, and its source is left alone."""
    source = program.area.parent.parent.parent / f"{new_id()}.png"
    source.write_bytes(picture())
    names = [program.store.stage(source), program.stage(b"no picture"), new_id()]
    answer = program.take(workload, *names)
    assert answer.status_code == 201, answer.text
    taken, broken, missing = answer.json()["pictures"]
    assert program.session.get(f"/images/{taken['image_id']}").content == picture()
    assert (broken["status"], broken["code"]) == (415, "unsupported_picture")
    assert (missing["status"], missing["code"]) == (404, "not_found")
    assert source.read_bytes() == picture()
    assert not list(program.area.iterdir())


def test_a_staged_original_with_the_same_key_is_the_same_image(
    program: Program, workload: str
) -> None:
    """Staged again, or sent."""
    first = program.take(workload, program.stage(picture()), key="k").json()["pictures"][0]
    again = program.take(workload, program.stage(picture()), key="k").json()["pictures"][0]
    sent = program.session.post(
        "/images",
        files={"data": picture()},
        data={"workload_id": workload},
        headers={"Idempotency-Key": "k"},
    )
    assert first["image_id"] == again["image_id"] == sent.json()["image_id"]


def test_results_come_from_workers_and_originals_from_users(
    program: Program, neighbour: Neighbour, workload: str
) -> None:
    """Neither hands in what is the other's."""
    assert program.session.post("/staged-results", json={"results": []}).status_code == 403
    answer = neighbour.session.post(f"/workloads/{workload}/staged", json={"pictures": []})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b'{"pictures": []}',
        b'{"pictures": [{"name": "../x", "key": "k"}]}',
        b'{"pictures": [{"name": "x", "key": "\\u0000"}]}',
    ],
)
def test_a_body_that_names_no_pictures_is_refused(
    program: Program, workload: str, body: bytes
) -> None:
    """Before anything is looked for."""
    answer = program.session.post(f"/workloads/{workload}/staged", data=body)
    assert answer.status_code in (400, 422), answer.text


def test_a_write_after_the_commit_is_asked_for_does_not_reach_the_picture(
    user: ApiSession, neighbour: Neighbour, workload: str, lease: Lease
) -> None:
    """An upload that is repeated stages anew: the name of the former leads nowhere any more."""
    name = neighbour.stage(picture())
    answer = neighbour.commit(workload, lease, name)
    (neighbour.area / name).write_bytes(b"late")
    assert user.get(f"/images/{answer.image_id}").content == picture()


@pytest.mark.parametrize("what", HOSTILE)
def test_only_a_plain_file_is_taken(
    system: System,
    user: ApiSession,
    neighbour: Neighbour,
    workload: str,
    lease: Lease,
    image: str,
    what: str,
) -> None:
    """Nothing else is followed, opened or waited for; the lease goes on, and others' files too."""
    other = next(path for path in system.files() if path.stem == image)
    name = new_id()
    HOSTILE[what](neighbour.area / name, other)
    answer = neighbour.commit(workload, lease, name)
    assert answer.status == 422, answer.detail
    assert "staged" in str(answer.detail)
    assert job_state(system, image) is JobState.LEASED
    assert user.get(f"/images/{image}").content == picture()
    assert neighbour.commit(workload, lease, neighbour.stage(picture())).status == 201


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc/passwd", ".", "A", "x" * 65, "\0"])
def test_a_name_leads_nowhere_else(
    neighbour: Neighbour, workload: str, lease: Lease, name: str
) -> None:
    """What is no plain name is refused before the file system is asked."""
    answer = neighbour.commit(workload, lease, name)
    assert answer.status == 422, answer.detail


def test_what_another_worker_has_staged_is_not_there(
    system: System, neighbour: Neighbour, workload: str, lease: Lease
) -> None:
    """A worker's names mean its own area."""
    other = Neighbour(system)
    name = other.stage(picture())
    assert neighbour.commit(workload, lease, name).status == 404
    assert (other.area / name).exists()
    other.store.close()


def test_without_the_lease_nothing_is_taken(
    system: System, neighbour: Neighbour, workload: str, lease: Lease
) -> None:
    """A late attempt, or another's, gets 409, and the file is its own still."""
    name = neighbour.stage(picture())
    assert neighbour.commit(workload, lease, name, attempt=lease.attempt + 1).status == 409
    other = Neighbour(system)
    assert other.commit(workload, lease, other.stage(picture())).status == 409
    other.store.close()
    assert (neighbour.area / name).exists()


@pytest.mark.parametrize(
    ("content", "changes", "status"),
    [
        (picture(), {"sha256": "0" * 64}, 422),
        (picture(3, 3), {}, 422),
        (b"no picture", {}, 415),
        (bytes(SETTINGS.result_bytes + 1), {}, 413),
    ],
    ids=["another hash", "another size", "no picture", "too large"],
)
def test_a_staged_lie_is_refused(
    system: System,
    neighbour: Neighbour,
    workload: str,
    lease: Lease,
    content: bytes,
    changes: dict[str, object],
    status: int,
) -> None:
    """As it is when it is uploaded, and nothing of it is kept."""
    before = system.files()
    answer = neighbour.commit(workload, lease, neighbour.stage(content), content, **changes)
    assert answer.status == status, answer.detail
    assert system.files() == before


def test_of_results_that_are_committed_together_each_has_its_own_answer(
    system: System, user: ApiSession, neighbour: Neighbour, workload: str
) -> None:
    """One that is refused costs its neighbours nothing."""
    leases = [system.lease(user.upload(workload), neighbour.name) for _ in range(3)]
    contents = [picture(), b"no picture", picture()]
    results = [
        {
            "name": neighbour.stage(content),
            "workload_id": workload,
            "job_id": lease.job_id,
            "attempt": lease.attempt,
            "milliseconds": 1,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for lease, content in zip(leases, contents, strict=True)
    ]
    answer = neighbour.session.post("/staged-results", json={"results": results})
    assert [each["status"] for each in answer.json()["pictures"]] == [201, 415, 201]
    assert user.get(f"/workloads/{workload}").json()["counts"]["done"] == 2


def test_what_goes_wrong_with_one_is_not_the_others(
    program: Program, workload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even what nobody expects: those beside it are committed, and are answered so."""
    keep = ImageDirectories.keep

    async def trip(self: ImageDirectories, staged: StagedFile, image: Image) -> None:
        if image.size == len(b"".join(broken)):
            raise ZeroDivisionError
        await keep(self, staged, image)

    monkeypatch.setattr(ImageDirectories, "keep", trip)
    broken = [picture(), b" "]
    names = [program.stage(picture()), program.stage(b"".join(broken)), program.stage(picture())]
    answers = program.take(workload, *names).json()["pictures"]
    assert [answer["status"] for answer in answers] == [201, 500, 201]
    assert answers[1]["code"] == "internal_error"


def test_areas_of_the_dead_are_swept(system: System, neighbour: Neighbour) -> None:
    """One that its process holds stays, one that nobody holds goes with what lies in it."""
    left = neighbour.images / STAGING / staging_area("of a worker that was killed")
    left.mkdir()
    (left / new_id()).write_bytes(picture())
    mine = neighbour.stage(picture())
    system.do(ImageDirectories(neighbour.images).sweep(system.datastore))
    assert not left.exists()
    assert (neighbour.area / mine).exists()


def test_a_picture_that_cannot_be_staged_is_sent(
    system: System, program: Program, tmp_path: Path
) -> None:
    """Somebody has tidied up below the client."""
    original = tmp_path / "original.png"
    original.write_bytes(picture())
    token = str(system.user().headers["Authorization"]).removeprefix("Bearer ")
    with Client(system.url, token=token) as client:
        workload = client.create_workload("grayscale")
        assert client.use_store(program.images)
        shutil.rmtree(program.images / STAGING / staging_area(token))
        (image,) = client.upload_all(workload.id, [original])
        assert isinstance(image, str)
        assert client.download(image) == original.read_bytes()


@pytest.mark.parametrize("way", [DirectStore.move_in, DirectStore.stage])
def test_nothing_is_left_of_a_copy_that_failed(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[..., object]
) -> None:
    """As on a full disk: what was written of it would stay as long as the program does."""

    def break_off(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    original = tmp_path / "original.png"
    original.write_bytes(picture())

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr("dpip.direct_store._copy", break_off)
    monkeypatch.setattr("shutil.copyfileobj", break_off)
    monkeypatch.setattr("shutil._fastcopy_sendfile", break_off)
    with pytest.raises(OSError, match="No space"):
        way(program.store, original)
    assert not list(program.area.iterdir())
