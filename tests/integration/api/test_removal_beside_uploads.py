"""A workload that is removed leaves no file, whatever comes in meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpip.controller.image_directories import ImageDirectories
from dpip.controller.removals import finish_removals
from dpip.controller.store_check import check
from dpip.errors import StorageUnavailable
from dpip.model.image import Image
from dpip.ports.clock import SystemClock
from dpip.ports.image_store import StagedFile
from tests.integration.api.system import ApiSession, System, picture
from tests.integration.api.test_results import finish
from tests.integration.api.test_staged_images import Neighbour, Program, neighbour, program

__all__ = ["neighbour", "program"]

UPLOADERS = 8


def left_of(system: System, workload_id: str) -> list[Path]:
    images = system.data_dir / "images"
    return [path for path in images.rglob("*") if workload_id in path.parts]


def test_nothing_is_left_of_uploads_beside_a_removal(system: System, user: ApiSession) -> None:
    """They are acknowledged before, and refused after; each answer is one or the other."""
    token = str(user.headers["Authorization"]).removeprefix("Bearer ")
    content = picture()

    def upload(workload_id: str) -> list[int]:
        session = ApiSession(system.url, token)
        codes: list[int] = []
        while not codes or codes[-1] == 201:
            answer = session.post(
                "/images", files={"data": content}, data={"workload_id": workload_id}
            )
            codes.append(answer.status_code)
        return codes

    with ThreadPoolExecutor(UPLOADERS) as threads:
        for _ in range(2):
            workload_id = user.create_workload()
            uploads = [threads.submit(upload, workload_id) for _ in range(UPLOADERS)]
            for _ in range(10):
                user.upload(workload_id)
            assert user.delete(f"/workloads/{workload_id}").status_code == 200
            codes = {code for each in uploads for code in each.result()}
            assert codes == {201, 404}
            assert left_of(system, workload_id) == []


@contextmanager
def removed_while_kept(system: System, when: str) -> Iterator[None]:
    """Every workload is removed just before, or after, a file comes to its place in it."""
    context = system.app.state.context
    keep = context.images.keep

    async def remove(image: Image) -> None:
        await context.datastore.remove_workload(image.workload_id, 0.0)
        await context.images.remove_workload(image.workload_name, image.workload_id)

    async def keep_and_remove(staged: StagedFile, image: Image) -> None:
        if when == "before":
            await remove(image)
        await keep(staged, image)
        if when == "after":
            await remove(image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.images, "keep", keep_and_remove)
        yield


when = pytest.mark.parametrize("when", ["before", "after"])


@when
def test_nothing_is_left_of_an_upload(system: System, user: ApiSession, when: str) -> None:
    """Its file goes with the directories that it has made anew."""
    workload_id = user.create_workload()
    with removed_while_kept(system, when):
        answer = user.post("/images", files={"data": picture()}, data={"workload_id": workload_id})
    assert answer.status_code == 404
    assert left_of(system, workload_id) == []


@when
def test_nothing_is_left_of_a_staged_picture(
    system: System, user: ApiSession, program: Program, when: str
) -> None:
    """Neither in the workload nor where it was staged."""
    workload_id = user.create_workload()
    name = program.stage(picture())
    with removed_while_kept(system, when):
        (taken,) = program.take(workload_id, name).json()["pictures"]
    assert taken["status"] == 404
    assert left_of(system, workload_id) == []
    assert not [path for path in system.files() if name in path.name]


@when
def test_nothing_is_left_of_a_result(
    system: System, user: ApiSession, neighbour: Neighbour, when: str
) -> None:
    """Whether it is sent or staged: the attempt is stale."""
    name, worker = system.worker()
    sent, staged = (user.create_workload() for _ in range(2))
    sent_lease = system.lease(user.upload(sent), name)
    staged_lease = system.lease(user.upload(staged), neighbour.name)
    with removed_while_kept(system, when):
        assert worker.hand_in(sent, sent_lease).status_code == 409
        assert neighbour.commit(staged, staged_lease, neighbour.stage(picture())).status == 409
    assert left_of(system, sent) == left_of(system, staged) == []


def test_a_removal_that_fails_is_tried_again(
    system: System, user: ApiSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever finishes removals, after a crash too: the datastore knows that files are left."""
    workload_id = user.create_workload()
    user.upload(workload_id)

    async def fail(_name: str, _workload_id: str) -> None:
        raise StorageUnavailable(storage="image store", reason="it is broken")

    monkeypatch.setattr(system.app.state.context.images, "remove_workload", fail)
    assert user.delete(f"/workloads/{workload_id}").status_code == 200
    assert left_of(system, workload_id)
    monkeypatch.undo()

    images = ImageDirectories(system.data_dir / "images")
    days = 86_400
    now = SystemClock().now()
    system.do(finish_removals(system.datastore, images, now + days))
    assert left_of(system, workload_id) == []
    assert system.do(system.datastore.removed_workloads(workload_id))
    system.do(finish_removals(system.datastore, images, now + 3 * days))
    assert system.do(system.datastore.removed_workloads()) == []


def test_removed_results_whose_files_stay_are_removed_later(
    system: System, user: ApiSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The datastore knows each of them until its file has gone."""
    workload_id = user.create_workload()
    image_id = user.upload(workload_id)
    finish(system, workload_id, image_id)

    async def fail(_image: Image) -> None:
        raise StorageUnavailable(storage="image store", reason="it is broken")

    def pictures() -> list[Path]:
        return [path for path in system.files() if workload_id in path.parts]

    monkeypatch.setattr(system.app.state.context.images, "remove", fail)
    assert user.delete(f"/workloads/{workload_id}/results?through=1").status_code == 200
    monkeypatch.undo()
    assert len(pictures()) == 2
    images = ImageDirectories(system.data_dir / "images")
    found = system.do(check(system.data_dir / "images", system.datastore)).findings
    assert [each for each in found if workload_id in each.path.parts] == []
    system.do(finish_removals(system.datastore, images, SystemClock().now()))
    assert pictures() == []
    assert system.do(system.datastore.removed_images()) == []
