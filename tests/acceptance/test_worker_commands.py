"""Workers that are told to pause, to resume and to drain, and that pause by themselves."""

import time

import psutil
import pytest

from tests.acceptance.system import Api, System, dpip
from tests.acceptance.test_workers import all_came_back, push_all, until_alive, who_did
from tests.waiting import eventually


def until_state(api: Api, name: str, state: str) -> None:
    eventually(lambda: api.workers()[name]["state"] == state, f"worker {name} to be {state}")


def tell(system: System, command: str, name: str) -> str:
    told = dpip("worker", command, name, env=system.env)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_a_worker_pauses_over_its_death_until_it_resumes(own_system: System) -> None:
    """Meanwhile the other does all the work."""
    api = own_system.api
    for name in ("local-1", "local-2"):
        until_alive(api, name)
    said = tell(own_system, "pause", "local-1")
    assert said == "local-1 pauses until 'dpip worker resume local-1'.\n"
    until_state(api, "local-1", "paused")
    assert api.workers()["local-1"]["paused"] == "is paused by an administrator"
    before = api.workers()["local-1"]["instance"]
    own_system.process_of("local-1").kill()
    eventually(lambda: api.workers()["local-1"]["instance"] != before, "its next process")
    until_state(api, "local-1", "paused")
    workload_id = push_all(api, 5)
    all_came_back(api, workload_id, 5)
    assert set(who_did(api, workload_id)) == {"local-2"}

    assert tell(own_system, "resume", "local-1") == "local-1 works again.\n"
    until_alive(api, "local-1")
    tell(own_system, "pause", "local-2")
    until_state(api, "local-2", "paused")
    workload_id = push_all(api, 5)
    all_came_back(api, workload_id, 5)
    assert set(who_did(api, workload_id)) == {"local-1"}


def test_a_worker_that_drains_finishes_what_it_has_begun_and_ends(patient_system: System) -> None:
    """No attempt fails, others do the rest, and a local one stays away; it is told over HTTP."""
    api, apart = patient_system.api, patient_system.worker("apart", "--slots", "2")
    for name in ("local-1", "local-2", "apart"):
        until_alive(api, name)
    local = patient_system.process_of("local-1")
    workload_id = push_all(api)
    eventually(lambda: len(who_did(api, workload_id)) == 3, "each to have done one")
    for name in ("local-1", "apart"):
        answer = api.session.post(f"{api.url}/workers/{name}/drain")
        assert (answer.status_code, answer.json()["command"]) == (200, "drain")
    assert apart.popen.wait(timeout=60) == 0
    all_came_back(api, workload_id)
    for name in ("local-1", "apart"):
        until_state(api, name, "left")
    psutil.wait_procs([local], timeout=60)
    patient_system.process.until_it_says("process has finished")
    with pytest.raises(StopIteration):
        patient_system.process_of("local-1")
    assert "attempt failed" not in patient_system.process.said
    again = patient_system.worker("apart")
    until_alive(api, "apart")
    assert again.stop() == 0


def test_a_worker_of_other_hours_waits_for_them(system: System) -> None:
    """Its reason is in the status."""
    by_day = time.localtime().tm_hour in range(6, 18)
    never_now = "00:00-00:01" if by_day else "12:00-12:01"
    worker = system.worker("of-the-night", "--hours", never_now)
    try:
        eventually(lambda: "of-the-night" in system.api.workers(), "it to join")
        until_state(system.api, "of-the-night", "paused")
        reason = system.api.workers()["of-the-night"]["paused"]
        assert reason == f"works from {never_now[:5]} to {never_now[6:]} only"
    finally:
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("option", "value"), [("--hours", "8pm-8am"), ("--pause-when-load-above", "70")]
)
def test_wishes_that_make_no_sense_are_a_wrong_call(
    system: System, option: str, value: str
) -> None:
    """Exit code 2 and one line that names the value."""
    refused = dpip("worker", option, value, env=system.env)
    assert refused.returncode == 2
    assert value in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["pause", "resume", "drain"])
def test_who_is_not_there_is_told_nothing(system: System, command: str) -> None:
    """Neither an unknown worker nor one that has left."""
    unknown = dpip("worker", command, "nobody", env=system.env)
    assert (unknown.returncode, unknown.stderr) == (1, "dpip: There is no worker 'nobody'.\n")
    name = f"gone-before-{command}"
    worker = system.worker(name).until_it_says("joined")
    assert worker.stop() == 0
    until_state(system.api, name, "left")
    gone = dpip("worker", command, name, env=system.env)
    assert gone.returncode == 1
    assert "is in state 'left'" in gone.stderr
