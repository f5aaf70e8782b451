"""Each part by itself, and what happens when one is killed."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.apart import PARTS, Apart
from tests.acceptance.pictures import picture
from tests.acceptance.system import Api, dpip


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a process has loaded")
def test_libvips_is_loaded_by_the_children_alone(apart: Apart) -> None:
    """The other parts have nothing in memory that could decode a picture."""
    api = apart.api
    workload_id = api.create(filter="blur")["workload_id"]
    api.push(workload_id, picture(1))
    all_come_back(api, workload_id, 1)
    for name, process in apart.processes.items():
        assert not has_libvips(psutil.Process(process.popen.pid)), name
    assert any(has_libvips(child) for child in apart.processes["worker"].children())


def has_libvips(process: psutil.Process) -> bool:
    return any("vips" in Path(mapped.path).name for mapped in process.memory_maps())


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


def test_a_second_controller_is_refused(apart: Apart) -> None:
    """It ends at once with code 1 and one line that names the data directory."""
    second = dpip("controller", env={**apart.env, "DPIP_CONTROLLER_PORT": "0"})
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
