"""Why a picture is where it is: over real HTTP, from the real datastore and a real bus."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from dpip.errors import BusUnavailable, DpipError, NoAnswerInTime
from dpip.model.job import MAX_FAILURES
from dpip.ports.clock import SystemClock
from dpip.wire import codec, subjects
from dpip.wire.messages import Acknowledged, Message, Obstacle, Refusal, Waiting, WhyPending
from tests.contract.builders import BROKEN, NO_TERM, WHY, build_placement
from tests.integration.api.system import ApiSession, System, running_system

WAITING = Waiting(
    reason="No worker can take it now.",
    remedy="Have a worker with the tag fast join.",
    before=2,
    competing=5,
    known=1,
    obstacles=(Obstacle(worker="ada", reason="has no tag fast"),),
)


class Scheduler:
    """Answers on the bus where a scheduler does, and as a test tells it to."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.asked: list[WhyPending] = []
        self.says: Message = WAITING
        self.leases_to: str | None = None
        bus = system.app.state.context.bus
        system.do(bus.subscribe(subjects.WHY_PENDING, self._answer))

    async def _answer(self, subject: str, payload: bytes) -> bytes:
        self.asked.append(codec.decode(payload, WhyPending, subject))
        if self.leases_to:
            placement = build_placement(self.asked[-1].job_id, self.leases_to)
            await self.system.datastore.lease([placement], term=NO_TERM)
        return codec.encode(self.says)


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system in which a scheduler may answer."""
    with running_system(tmp_path_factory.mktemp("scheduled")) as system:
        yield system


@pytest.fixture
def workload_id(user: ApiSession) -> str:
    return user.create_workload()


@pytest.fixture
def image_id(user: ApiSession, workload_id: str) -> str:
    return user.upload(workload_id)


def explained(session: ApiSession, image_id: str) -> dict[str, Any]:
    answer = session.get(f"/images/{image_id}/explain")
    assert answer.status_code == 200, answer.text
    explanation: dict[str, Any] = answer.json()
    return explanation


def test_without_a_scheduler_a_picture_that_waits_says_so(user: ApiSession, image_id: str) -> None:
    """At once, with what to do about it."""
    explanation = explained(user, image_id)
    assert explanation["state"] == "pending"
    assert explanation["summary"] == "It waits, and no scheduler answers."
    assert "dpip scheduler" in explanation["remedy"]


def test_the_scheduler_is_asked_about_a_picture_that_waits(scheduled: System) -> None:
    """Its answer is the explanation; of others' workloads there is a number and no more."""
    scheduler, user = Scheduler(scheduled), scheduled.user()
    workload_id = user.create_workload()
    image_id = user.upload(workload_id)
    job = scheduled.do(scheduled.datastore.job_of_image(image_id))
    assert job is not None
    explanation = explained(user, image_id)
    assert scheduler.asked == [WhyPending(job_id=job.id, workload_id=workload_id)]
    assert explanation["summary"] == WAITING.reason
    assert explanation["remedy"] == WAITING.remedy
    assert explanation["obstacles"] == [{"worker": "ada", "reason": "has no tag fast"}]
    assert (explanation["position"], explanation["competing"]) == (3, 5)

    scheduler.says = Refusal(reason="That job does not wait.")
    assert scheduler.says.reason in explained(user, image_id)["summary"]

    scheduler.says = Acknowledged()
    assert "cannot be read" in explained(user, image_id)["summary"]

    scheduler.says = Refusal(reason="That job does not wait.")
    scheduler.leases_to = scheduled.worker()[0]
    placed = explained(user, image_id)
    assert (placed["state"], placed["worker"]) == ("leased", scheduler.leases_to)
    assert "scheduler" not in placed["summary"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoAnswerInTime(subject="why", seconds=2), "does not answer in time"),
        (BusUnavailable(address="a", reason="b"), "message-passing server"),
    ],
    ids=["late", "no server"],
)
def test_what_keeps_the_scheduler_from_answering_is_told(
    system: System,
    user: ApiSession,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
    error: DpipError,
    words: str,
) -> None:
    """It is an explanation, and no error."""

    async def request(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(system.app.state.context.bus, "request", request)
    assert words in explained(user, image_id)["summary"]


def test_a_picture_on_a_worker_says_why_it_is_there(
    system: System, user: ApiSession, image_id: str
) -> None:
    """From what was kept when it was placed."""
    worker, _ = system.worker()
    system.lease(image_id, worker)
    explanation = explained(user, image_id)
    assert explanation["summary"].startswith(f"Attempt 1 is on worker {worker}")
    assert explanation["policy"] == WHY.policy
    assert (explanation["known"], explanation["with_room"]) == (WHY.known, WHY.with_room)
    assert explanation["predicted_milliseconds"] == WHY.cpu_milliseconds
    assert explanation["predicted_memory"] == WHY.memory
    assert datetime.fromisoformat(explanation["placed_at"]).timestamp() == WHY.placed_at


def test_a_picture_that_is_done_is_explained_by_either_id(
    system: System, user: ApiSession, workload_id: str, image_id: str
) -> None:
    """The original's and the result's; what it took stands beside what was predicted."""
    worker, session = system.worker()
    result = session.hand_in(workload_id, system.lease(image_id, worker)).json()["image_id"]
    explanation = explained(user, image_id)
    assert explanation == explained(user, result)
    assert explanation["state"] == "done"
    assert (explanation["image_id"], explanation["filtered_image_id"]) == (image_id, result)
    assert (explanation["worker"], explanation["milliseconds"]) == (worker, 2.5)
    assert explanation["predicted_milliseconds"] == WHY.cpu_milliseconds


def test_a_picture_that_fails_says_when_it_goes_on_and_then_what_to_do(
    system: System, user: ApiSession, workload_id: str, image_id: str
) -> None:
    """No scheduler is needed for either."""
    worker, _ = system.worker()
    for attempt in range(1, MAX_FAILURES + 1):
        before = SystemClock().now()
        lease = system.lease(image_id, worker)
        system.do(system.datastore.fail(lease, BROKEN, jitter=0.99, now=before + 20))
        explanation = explained(user, image_id)
        assert (explanation["attempt"], explanation["failures"]) == (attempt, attempt)
        assert (explanation["code"], explanation["reason"]) == (BROKEN.code, BROKEN.reason)
        if attempt < MAX_FAILURES:
            assert explanation["state"] == "pending"
            assert explanation["summary"].startswith("It goes on in ")
            assert datetime.fromisoformat(explanation["retry_at"]).timestamp() > before + 20
    assert explanation["state"] == "failed"
    assert explanation["retry_at"] is None
    assert f"/workloads/{workload_id}/retry" in explanation["remedy"]


def test_a_worker_may_ask_about_what_it_holds(
    system: System, user: ApiSession, image_id: str
) -> None:
    """By the rule by which it may download the original."""
    worker, session = system.worker()
    assert session.get(f"/images/{image_id}/explain").status_code == 404
    system.lease(image_id, worker)
    assert explained(session, image_id) == explained(user, image_id)


@pytest.mark.parametrize("image_id", ["0" * 26, "none", "..."])
def test_a_picture_that_is_not_there_has_no_explanation(user: ApiSession, image_id: str) -> None:
    """It is answered as its download is."""
    answer, download = user.get(f"/images/{image_id}/explain"), user.get(f"/images/{image_id}")
    assert answer.status_code == download.status_code == 404
    assert answer.json() == download.json()
