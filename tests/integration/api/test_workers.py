"""Workers over HTTP: the list of them, and what an administrator tells them."""

import pytest

from dpip.client import Client
from dpip.errors import ApiRefused
from dpip.model.user import Role
from dpip.model.worker import Command, Reading, Resources, WorkerState
from tests.integration.api.system import ApiSession, System

READING = Resources(cpu=0.5, cores=2, memory_total=8, memory_available=4)


@pytest.fixture
def administrator(system: System) -> ApiSession:
    return system.user(Role.ADMINISTRATOR)


def test_workers_are_listed_as_the_status_shows_them(system: System) -> None:
    """With the reason of one that pauses."""
    user, (name, _) = system.user(), system.worker()
    reason = "works from 20:00 to 08:00 only"
    beat = Reading(name, WorkerState.PAUSED, READING, 0, 0.0, reason)
    system.do(system.datastore.record_heartbeats([beat], history=False))
    listed = user.get("/workers").json()["workers"]
    assert listed == user.get("/status").json()["workers"]
    (pausing,) = (each for each in listed if each["name"] == name)
    assert (pausing["state"], pausing["paused"], pausing["command"]) == ("paused", reason, None)


@pytest.mark.parametrize(
    ("told", "kept"), [("pause", Command.PAUSE), ("resume", None), ("drain", Command.DRAIN)]
)
def test_what_a_worker_is_told_is_kept(
    system: System, administrator: ApiSession, told: str, kept: Command | None
) -> None:
    """It is shown at once, and in the datastore, from where the controller passes it on."""
    name, _ = system.worker()
    answer = administrator.post(f"/workers/{name}/{told}")
    assert (answer.status_code, answer.json()["name"], answer.json()["command"]) == (
        200,
        name,
        kept,
    )
    worker = system.do(system.datastore.worker(name))
    assert worker is not None
    assert worker.command is kept


@pytest.mark.parametrize("name", ["nobody", "no%20name", "%00", "x" * 100])
def test_who_is_not_known_is_not_found(administrator: ApiSession, name: str) -> None:
    """Nor is what can be no worker's name."""
    answer = administrator.post(f"/workers/{name}/pause")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WorkerState.LEFT, "worker_gone"),
        (WorkerState.LOST, "worker_gone"),
        (WorkerState.QUARANTINED, "worker_quarantined"),
    ],
)
def test_who_is_not_there_is_told_nothing(
    system: System, administrator: ApiSession, state: WorkerState, code: str
) -> None:
    """The answer says in which state the worker is."""
    name, _ = system.worker()
    worker = system.do(system.datastore.worker(name))
    assert worker is not None
    beat = Reading(name, state, READING, 0, 0.0)
    system.do(system.datastore.record_heartbeats([beat], history=False))
    answer = administrator.post(f"/workers/{name}/drain")
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert state in answer.json()["detail"]


def test_the_sdk_has_a_method_for_each(system: System, administrator: ApiSession) -> None:
    """They return the worker as it is known at that moment."""
    name, _ = system.worker()
    token = str(administrator.headers["Authorization"]).removeprefix("Bearer ")
    with Client(system.url, token=token) as client:
        assert name in {worker.name for worker in client.workers()}
        assert client.pause_worker(name).command is Command.PAUSE
        assert client.resume_worker(name).command is None
        assert client.drain_worker(name).command is Command.DRAIN
        with pytest.raises(ApiRefused, match="in state 'draining'"):
            client.resume_worker(name)
        with pytest.raises(ApiRefused, match="no worker 'a b'"):
            client.pause_worker("a b")
