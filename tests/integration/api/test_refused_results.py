"""A result is checked before it is accepted."""

import pytest

from dpip.model.activity import ActivityKind
from dpip.model.job import JobState
from dpip.model.worker import FORGIVEN_AFTER, MOST_REFUSED, WorkerState
from dpip.wire import subjects
from tests.integration.api.system import ApiSession, System, picture, wait_until

LIES: dict[str, tuple[bytes, dict[str, object], int, str]] = {
    "another hash": (picture(), {"sha256": "0" * 64}, 422, "sha256"),
    "a picture that is cut off": (picture()[:20], {}, 415, "cut off"),
    "no picture": (b"no picture", {}, 415, "no known format"),
    "another format": (picture(suffix=".jpg"), {}, 422, "png"),
    "another size": (picture(3, 3), {}, 422, "4 x 3"),
    "notes of no known form": (picture(), {"notes": "\x1b[31m"}, 422, "notes"),
    "another workload": (picture(), {"workload_id": "0" * 26}, 422, "workload_id"),
}


@pytest.fixture
def workload(user: ApiSession) -> str:
    return user.create_workload()


def failures(system: System, image_id: str) -> int:
    """How many attempts at an original have failed, whose job is pending."""
    job = system.do(system.datastore.job_of_image(image_id))
    assert job is not None
    assert job.state is JobState.PENDING
    return job.failures


def state_of(system: System, name: str) -> WorkerState:
    worker = system.do(system.datastore.worker(name))
    assert worker is not None
    return worker.state


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_ends_the_attempt(
    system: System, user: ApiSession, workload: str, lie: str
) -> None:
    """Nothing of it is kept, the job has failed once and waits, and a true result is too late."""
    content, changes, status, said = LIES[lie]
    image = user.upload(workload)
    name, worker = system.worker()
    lease = system.lease(image, name)
    before = system.files()
    answer = worker.hand_in(workload, lease, content, **changes)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert system.files() == before
    assert failures(system, image) == 1
    assert worker.hand_in(workload, lease).status_code == 409
    assert user.get(f"/workloads/{workload}").json()["filtered_images"] == []
    assert state_of(system, name) is WorkerState.ALIVE


def test_the_result_of_another_job_is_refused(
    system: System, user: ApiSession, workload: str
) -> None:
    """Jobs of one worker are told apart by what their pictures have to be."""
    small, large = user.upload(workload, picture(4, 3)), user.upload(workload, picture(8, 6))
    name, worker = system.worker()
    lease = system.lease(large, name)
    system.lease(small, name)
    assert worker.hand_in(workload, lease, picture(4, 3)).status_code == 422


def test_a_result_has_the_size_that_the_filters_make(system: System, user: ApiSession) -> None:
    """Not that of its original, where they change it."""
    workload = user.create_workload(filter="thumbnail:size=4,rotate")
    image = user.upload(workload, picture(8, 6))
    name, worker = system.worker()
    lease = system.lease(image, name)
    refused = worker.hand_in(workload, lease, picture(8, 6))
    assert refused.status_code == 422
    assert "3 x 4" in refused.json()["detail"]
    lease = system.lease(image, name)
    assert worker.hand_in(workload, lease, picture(3, 4)).status_code == 201


def test_three_lies_about_one_picture_fail_its_job_and_no_worker(
    system: System, user: ApiSession, workload: str
) -> None:
    """A picture that nobody can do right is not held against those who try; its owner is told."""
    image = user.upload(workload)
    name, worker = system.worker()
    settled = Hints(system, subjects.settled(workload))
    lease = system.lease(image, name)
    worker.hand_in(workload, lease, picture(3, 3))
    for _ in range(2):
        lease = system.lease(image, name)
        worker.hand_in(workload, lease, picture(3, 3))
    (failed,) = user.get(f"/workloads/{workload}").json()["failed_images"]
    assert (failed["image_id"], failed["code"]) == (image, "result_refused")
    assert "4 x 3" in failed["reason"]
    assert state_of(system, name) is WorkerState.ALIVE
    wait_until(lambda: settled.heard)


def test_who_keeps_lying_is_quarantined(system: System, user: ApiSession, workload: str) -> None:
    """Its token is dead, what else it holds is pending without a failure, others are told of it."""
    name, worker = system.worker()
    held = user.upload(workload)
    system.lease(held, name)
    for _ in range(MOST_REFUSED - 1):
        worker.hand_in(workload, system.lease(user.upload(workload), name), picture(3, 3))
    assert state_of(system, name) is WorkerState.ALIVE
    lease = system.lease(user.upload(workload), name)
    ready = Hints(system, subjects.JOBS_READY)
    worker.hand_in(workload, lease, picture(3, 3))
    assert state_of(system, name) is WorkerState.QUARANTINED
    assert worker.get(f"/images/{held}").status_code == 401
    assert failures(system, held) == 0
    wait_until(lambda: ready.heard)
    recorded = system.do(system.datastore.activities(limit=1))[0]
    assert (recorded.kind, recorded.subject) == (ActivityKind.WORKER_QUARANTINED, name)
    shown = {each["name"]: each["state"] for each in user.get("/status").json()["workers"]}
    assert shown[name] == "quarantined"


def test_accepted_results_in_a_row_make_up_for_refused_ones(
    system: System, user: ApiSession, workload: str
) -> None:
    """One that lies now and then goes on."""
    name, worker = system.worker()
    for _ in range(2):
        for content in (*[picture(3, 3)] * (MOST_REFUSED - 1), *[picture()] * FORGIVEN_AFTER):
            answer = worker.hand_in(workload, system.lease(user.upload(workload), name), content)
        assert answer.status_code == 201
    assert state_of(system, name) is WorkerState.ALIVE


class Hints:
    """Hears what is told on a subject of the bus."""

    def __init__(self, system: System, subject: str) -> None:
        self.heard = False
        system.do(system.app.state.context.bus.subscribe(subject, self._hear))

    async def _hear(self, _subject: str, _payload: bytes) -> None:
        self.heard = True
