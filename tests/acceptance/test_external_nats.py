"""An external cluster of NATS servers, with the rules that ``dpip nats-config`` prints."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.apart import free_port
from tests.acceptance.pictures import picture
from tests.acceptance.system import Api, Process, dpip, environment
from tests.waiting import eventually

NATS_SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[str]]:
    """Two servers of one cluster; their URLs."""
    rules = dpip("nats-config", env=environment(tmp_path / "data"))
    assert rules.returncode == 0, rules.stderr
    (tmp_path / "rules.json").write_text(rules.stdout)
    ports, routes = [free_port(), free_port()], [free_port(), free_port()]
    with ExitStack() as stack:
        for port, route in zip(ports, routes, strict=True):
            configuration = tmp_path / f"{port}.conf"
            others = ", ".join(f'"nats://127.0.0.1:{each}"' for each in routes)
            configuration.write_text(
                f"listen: 127.0.0.1:{port}\n"
                f'cluster {{ name: dpip, listen: "127.0.0.1:{route}", routes: [{others}] }}\n'
                "include ./rules.json\n"
            )
            log = stack.enter_context((tmp_path / f"{port}.log").open("wb"))
            server = stack.enter_context(
                subprocess.Popen([NATS_SERVER, "-c", str(configuration)], stderr=log)
            )
            stack.callback(server.terminate)
        yield [f"nats://127.0.0.1:{port}" for port in ports]


def test_workers_are_guarded_on_every_server_of_a_cluster(
    servers: list[str], tmp_path: Path
) -> None:
    """They join by another server than the controller's, work, and are cut off there, too."""
    env = environment(tmp_path / "data", DPIP_NATS_URL=servers[0], DPIP_PORT=str(free_port()))
    api_url = f"http://127.0.0.1:{env['DPIP_PORT']}"
    with ExitStack() as stack:
        for part in (("controller", "--api-url", api_url), ("api",), ("scheduler",)):
            process = Process(tmp_path / f"{part[0]}.log", *part, env=env)
            stack.callback(process.stop)
            process.until_it_says("Ready")
        token = dpip("join-token", "create", "far", env=env).stdout.strip()
        worker = Process(
            tmp_path / "worker.log",
            *("worker", "--worker-name", "far"),
            env=environment(
                tmp_path / "elsewhere", DPIP_NATS_URL=servers[1], DPIP_JOIN_TOKEN=token
            ),
        )
        stack.callback(worker.stop)
        worker.until_it_says("joined")
        api = Api(api_url).login()
        workload_id = api.create()["workload_id"]
        for number in range(5):
            api.push(workload_id, picture(number))
        assert len(api.until_completed(workload_id)["filtered_images"]) == 5
        assert dpip("join-token", "revoke", "far", env=env).returncode == 0
        worker.until_it_says("not let in")
        eventually(lambda: api.workers()["far"]["state"] == "lost", "the worker to be lost")


def test_a_worker_waits_for_a_controller_that_is_away(tmp_path: Path) -> None:
    """One that had joined comes back by itself, however long a server has nobody to ask."""
    rules = dpip("nats-config", env=environment(tmp_path / "data"))
    (tmp_path / "rules.json").write_text(rules.stdout)
    port = free_port()
    configuration = tmp_path / "nats-server.conf"
    configuration.write_text(f"listen: 127.0.0.1:{port}\ninclude ./rules.json\n")
    env = environment(
        tmp_path / "data",
        DPIP_NATS_URL=f"nats://127.0.0.1:{port}",
        DPIP_PORT=str(free_port()),
    )
    api_url = f"http://127.0.0.1:{env['DPIP_PORT']}"

    with ExitStack() as stack:

        def start_server() -> subprocess.Popen[bytes]:
            with (tmp_path / "nats-server.log").open("ab") as log:
                server = subprocess.Popen([NATS_SERVER, "-c", str(configuration)], stderr=log)
            stack.callback(server.wait)
            stack.callback(server.terminate)
            return server

        def start(name: str, *more: str) -> Process:
            log = tmp_path / f"{name}.log"
            log.unlink(missing_ok=True)
            process = Process(log, name, *more, env=env)
            stack.callback(process.stop)
            return process

        server = start_server()
        controller = start("controller", "--api-url", api_url).until_it_says("Ready")
        for part in ("api", "scheduler"):
            start(part).until_it_says("Ready")
        worker = start("worker", "--worker-name", "faithful").until_it_says("joined")
        controller.kill()
        server.kill()
        server.wait()
        start_server()
        worker.until_it_says("not let in")
        start("controller", "--api-url", api_url).until_it_says("Ready")
        worker.until_it_says("connected to the message-passing server again")
        api = Api(api_url).login()
        workload_id = api.create()["workload_id"]
        for number in range(5):
            api.push(workload_id, picture(number))
        assert len(api.until_completed(workload_id)["filtered_images"]) == 5
        assert worker.popen.poll() is None
