"""Workers share, join, die and leave."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from dpip.model.join_token import JoinSecret
from tests.acceptance.pictures import picture
from tests.acceptance.system import Api, Process, System, dpip
from tests.waiting import eventually

PICTURES = 60


def push_all(api: Api, count: int = PICTURES) -> str:
    workload_id: str = api.create(filter="blur", sigma="8")["workload_id"]
    for number in range(count):
        api.push(workload_id, picture(number, size=400))
    return workload_id


def who_did(api: Api, workload_id: str) -> Counter[str]:
    return Counter(result["worker"] for result in api.results(workload_id))


def all_came_back(api: Api, workload_id: str, count: int = PICTURES) -> None:
    done = api.until_completed(workload_id)
    assert done["failed_images"] == []
    assert len(done["filtered_images"]) == len(set(done["filtered_images"])) == count
    results = api.results(workload_id)
    assert [result["position"] for result in results] == list(range(1, count + 1))
    assert len({result["image_id"] for result in results}) == count


def until_alive(api: Api, name: str) -> None:
    eventually(
        lambda: api.workers().get(name, {}).get("state") == "alive", f"worker {name} to be alive"
    )


def test_two_workers_share_the_work(own_system: System) -> None:
    """Both local workers have filtered pictures, and each picture was filtered once."""
    api = own_system.api
    for name in ("local-1", "local-2"):
        until_alive(api, name)
    workload_id = push_all(api)
    all_came_back(api, workload_id)
    assert set(who_did(api, workload_id)) == {"local-1", "local-2"}


def test_a_third_worker_joins_midway(own_system: System) -> None:
    """A worker that is started while a workload runs gets its share of it."""
    api = own_system.api
    third = own_system.worker("third", "--tags", "fast, near", "--slots", "2")
    try:
        first = push_all(api, 5)
        until_alive(api, "third")
        assert api.workers()["third"]["tags"] == ["fast", "near"]
        second = push_all(api)
        all_came_back(api, second)
        assert "third" in who_did(api, second)
        all_came_back(api, first, 5)
    finally:
        assert third.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_midway(patient_system: System, how: signal.Signals) -> None:
    """Every picture comes back once, whether a worker is killed or told to stop."""
    api = patient_system.api
    for name in ("local-1", "local-2"):
        until_alive(api, name)
    workload_id = push_all(api)
    eventually(lambda: who_did(api, workload_id).get("local-1"), "local-1 to have done one")
    patient_system.process_of("local-1").send_signal(how)
    all_came_back(api, workload_id)
    if how is signal.SIGTERM:
        assert "attempt failed" not in patient_system.process.said


def test_a_frozen_worker_loses_its_jobs_and_does_no_harm(own_system: System) -> None:
    """Its leases lapse, others do the work, and thawed it goes on without a trace of the old."""
    api = own_system.api
    for name in ("local-1", "local-2"):
        until_alive(api, name)
    workload_id = push_all(api)
    eventually(lambda: who_did(api, workload_id).get("local-1"), "local-1 to have done one")
    frozen = own_system.process_of("local-1")
    frozen.send_signal(signal.SIGSTOP)
    try:
        all_came_back(api, workload_id)
    finally:
        frozen.send_signal(signal.SIGCONT)
    until_alive(api, "local-1")
    all_came_back(api, workload_id)


def test_a_result_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    """Frozen with a picture in hand, which another has done: 409, nothing kept, and it goes on."""
    system = System(tmp_path, workers=1, DPIP_LOG_LEVEL="debug")
    try:
        api, late = system.api, system.process_of("local-1")
        until_alive(api, "local-1")
        (child,) = late.children()
        child.suspend()
        workload_id = push_all(api, 1)
        eventually(lambda: api.workers()["local-1"]["running_jobs"], "the job to be in hand")
        late.suspend()
        eventually(lambda: api.workers()["local-1"]["state"] == "lost", "the worker to be lost")
        other = system.worker("other")
        all_came_back(api, workload_id, 1)
        kept = image_files(system)
        late.resume()
        until_alive(api, "local-1")
        child.resume()
        system.process.until_it_says("status=409")
        system.process.until_it_says("The lease has passed to another attempt.")
        assert image_files(system) == kept
        assert who_did(api, workload_id) == {"other": 1}
        assert other.stop() == 0
        again = push_all(api, 1)
        all_came_back(api, again, 1)
        assert who_did(api, again) == {"local-1": 1}
    finally:
        system.process.stop()


def image_files(system: System) -> dict[Path, bytes]:
    """All files of the image store with their contents."""
    files = (system.data_dir / "images").rglob("*")
    return {file: file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize(
    ("token", "code"), [(str(JoinSecret.new()), 1), ("wrong", 2)], ids=["unknown", "malformed"]
)
def test_a_wrong_join_token_is_refused(system: System, token: str, code: int) -> None:
    """The worker ends with one line that says what it needs; 2 tells that it is no token at all."""
    worker = system.worker("stranger", DPIP_JOIN_TOKEN=token)
    assert worker.popen.wait(timeout=60) == code
    assert "join token" in worker.said
    assert "Traceback" not in worker.said
    assert "stranger" not in system.api.workers()


def test_an_empty_name_is_refused(system: System) -> None:
    """As any other that cannot be one: a variable may not have been set."""
    ran = dpip("worker", "--worker-name", "", env=system.env)
    assert ran.returncode == 2
    assert "worker" in ran.stderr


def test_a_name_that_is_alive_is_refused(system: System) -> None:
    """A second worker of that name waits and says why; it joins once the first has left."""
    api = system.api
    first = system.worker("same")
    until_alive(api, "same")
    second = Process(
        system.directory / "same-2.log",
        *("worker", "--controller", system.ready["controller"], "--worker-name", "same"),
        env=system.env,
    )
    second.until_it_says("alive already")
    assert first.stop() == 0
    second.until_it_says("joined")
    assert second.stop() == 0


def test_nothing_is_left_when_the_system_is_killed(own_system: System) -> None:
    """Workers, their children and the message-passing server end with it (Linux)."""
    until_alive(own_system.api, "local-1")
    children = own_system.process.children()
    assert len(children) >= 3
    os.kill(own_system.process.popen.pid, signal.SIGKILL)
    eventually(lambda: not any(child.is_running() for child in children), "all to end")
