"""Each part by itself, and what happens when one is killed."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import Api, Process, dpip, environment

PARTS = ("controller", "api", "scheduler")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Apart:
    """The parts, each a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, controller_port = free_port(), free_port()
        self.env = environment(
            directory / "data",
            DPIP_PORT=str(self.port),
            DPIP_CONTROLLER_PORT=str(controller_port),
            DPIP_CONTROLLER=f"127.0.0.1:{controller_port}",
        )
        self.processes: dict[str, Process] = {}
        for part in PARTS:
            self.start(part)
        self.processes["worker"] = Process(
            directory / "worker.log", "worker", "--worker-name", "one", env=self.env
        ).until_it_says("joined")

    def start(self, part: str) -> None:
        log = self.directory / f"{part}.log"
        log.unlink(missing_ok=True)
        self.processes[part] = Process(log, part, env=self.env).until_it_says("Ready")

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.stop()

    @property
    def api(self) -> Api:
        return Api(f"http://127.0.0.1:{self.port}").login()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    apart = Apart(tmp_path)
    yield apart
    apart.stop()


def all_come_back(api: Api, workload_id: str, count: int) -> None:
    done = api.until_completed(workload_id)
    assert done["failed_images"] == []
    assert len(done["filtered_images"]) == count


def test_the_parts_work_apart(apart: Apart) -> None:
    """Controller, API, scheduler and worker, each alone, filter pictures together."""
    api = apart.api
    workload_id = api.create()["workload_id"]
    for number in range(5):
        api.push(workload_id, picture(number))
    all_come_back(api, workload_id, 5)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed_and_started_again(apart: Apart, part: str) -> None:
    """What was uploaded before is filtered after, by a worker that has come back by itself."""
    api = apart.api
    workload_id = api.create(filter="blur")["workload_id"]
    for number in range(20):
        api.push(workload_id, picture(number, size=400))
    apart.processes[part].kill()
    apart.start(part)
    all_come_back(api, workload_id, 20)
    api.push(workload_id, picture(20))
    all_come_back(api, workload_id, 21)


def test_the_message_server_is_killed(apart: Apart) -> None:
    """The controller starts it again, and all parts find back to it."""
    api = apart.api
    workload_id = api.create(filter="blur")["workload_id"]
    for number in range(20):
        api.push(workload_id, picture(number, size=400))
    (server,) = apart.processes["controller"].children()
    server.kill()
    all_come_back(api, workload_id, 20)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_a_second_controller_or_scheduler_is_refused(apart: Apart) -> None:
    """It ends at once with code 1 and one line that names the data directory."""
    for part in ("controller", "scheduler"):
        second = dpip(part, env={**apart.env, "DPIP_CONTROLLER_PORT": "0"})
        assert second.returncode == 1
        assert str(apart.directory / "data") in second.stderr
        assert "Traceback" not in second.stderr


def test_a_port_in_use_is_named(apart: Apart, tmp_path: Path) -> None:
    """The message names the port and what to do."""
    env = {**apart.env, "DPIP_DATA_DIR": str(tmp_path / "other"), "DPIP_CONTROLLER_PORT": "0"}
    second = dpip("up", "--workers", "0", env=env)
    assert second.returncode == 1
    assert str(apart.port) in second.stderr
    assert "--port" in second.stderr
