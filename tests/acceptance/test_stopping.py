"""SIGTERM: what is in hand is finished or given back, and a second one stops at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.acceptance.apart import PARTS, Apart
from tests.acceptance.pictures import picture
from tests.acceptance.system import LONG_LEASES, Api, System
from tests.waiting import eventually

TERMINATED = 128 + signal.SIGTERM


@contextmanager
def apart_with(directory: Path, **settings: str) -> Iterator[Apart]:
    apart = Apart(directory, **LONG_LEASES, **settings)
    try:
        yield apart
    finally:
        apart.stop()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    with apart_with(tmp_path) as apart:
        yield apart


def one_job_that_does_not_end(
    api: Api, workers: int, processes: Callable[[], list[psutil.Process]]
) -> str:
    """Freeze the child processes of all workers, and give them a picture; its workload."""
    eventually(lambda: len(api.workers()) == workers, "the workers to be there")
    for process in processes():
        if "dpip.worker.child" in process.cmdline():
            process.send_signal(signal.SIGSTOP)
    workload_id: str = api.create()["workload_id"]
    api.push(workload_id, picture(1))
    eventually(
        lambda: any(each["running_jobs"] for each in api.workers().values()),
        "the job to be in hand",
    )
    return workload_id


def all_came_back(api: Api, workload_id: str) -> None:
    assert api.until_completed(workload_id)["failed_images"] == []


@pytest.mark.parametrize("part", [*PARTS, "worker"])
def test_a_part_stops_in_good_order(apart: Apart, part: str) -> None:
    """Jobs are under way; none of their attempts is counted, and all of them are done."""
    api = apart.api
    workload_id = api.create(filter="blur")["workload_id"]
    for number in range(10):
        api.push(workload_id, picture(number, size=400))
    assert apart.processes[part].stop() == 0
    assert "Traceback" not in apart.processes[part].said
    apart.start(part)
    all_came_back(api, workload_id)
    assert apart.failed_attempts() == 0


def test_a_system_stops_in_good_order(patient_system: System) -> None:
    """All of it, with jobs under way."""
    api, process = patient_system.api, patient_system.process
    workload_id = api.create(filter="blur")["workload_id"]
    for number in range(10):
        api.push(workload_id, picture(number, size=400))
    children = process.children()
    assert process.stop() == 0
    assert "attempt failed" not in process.said
    assert "Traceback" not in process.said
    assert not any(child.is_running() for child in children)


def test_a_second_signal_stops_a_worker_at_once(apart: Apart) -> None:
    """What it had in hand is done by the next of its name, and its attempt does not count."""
    api, worker = apart.api, apart.processes["worker"]
    workload_id = one_job_that_does_not_end(api, 1, worker.children)
    worker.popen.send_signal(signal.SIGTERM)
    eventually(lambda: api.workers()["one"]["state"] == "draining", "the worker to drain")
    assert worker.stop() == TERMINATED  # By its second signal.
    apart.start("worker")
    all_came_back(api, workload_id)
    assert apart.failed_attempts() == 0


def test_a_second_signal_stops_a_system_at_once(patient_system: System) -> None:
    """Its workers, which wait for a picture, end with it (Linux)."""
    one_job_that_does_not_end(patient_system.api, 2, patient_system.process.children)
    children = patient_system.process.children()
    patient_system.process.popen.send_signal(signal.SIGTERM)
    patient_system.process.until_it_says("finishing jobs in hand")
    assert patient_system.process.stop() == TERMINATED
    eventually(lambda: not any(child.is_running() for child in children), "all to end")


def test_what_takes_too_long_is_given_back(tmp_path: Path) -> None:
    """Its attempt does not count."""
    with apart_with(tmp_path, DPIP_WORKER__DRAIN_SECONDS="0.1") as apart:
        api, worker = apart.api, apart.processes["worker"]
        workload_id = one_job_that_does_not_end(api, 1, worker.children)
        assert worker.stop() == 0
        assert api.workload(workload_id)["status"] != "completed"
        apart.start("worker")
        all_came_back(api, workload_id)
        assert apart.failed_attempts() == 0


def test_a_worker_waits_for_a_controller_to_give_its_jobs_back(tmp_path: Path) -> None:
    """It is told to stop while there is none, and goes when the next one has heard it."""
    with apart_with(tmp_path, DPIP_WORKER__DRAIN_SECONDS="0.1") as apart:
        api, worker = apart.api, apart.processes["worker"]
        workload_id = one_job_that_does_not_end(api, 1, worker.children)
        apart.processes["controller"].kill()
        worker.popen.send_signal(signal.SIGTERM)
        worker.until_it_says("outcome not told")
        apart.start("controller")
        assert worker.popen.wait(timeout=60) == 0
        apart.start("worker")
        all_came_back(api, workload_id)
        assert apart.failed_attempts() == 0
