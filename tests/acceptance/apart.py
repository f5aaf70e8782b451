"""A system whose parts run each by itself."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.acceptance.system import Api, Process, environment

PARTS = ("controller", "api", "scheduler")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Apart:
    """The parts, each a process of its own."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port, controller_port = free_port(), free_port()
        self.env = environment(
            directory / "data",
            DPIP_PORT=str(self.port),
            DPIP_CONTROLLER_PORT=str(controller_port),
            DPIP_CONTROLLER=f"127.0.0.1:{controller_port}",
            **settings,
        )
        self.processes: dict[str, Process] = {}
        for part in (*PARTS, "worker"):
            self.start(part)

    def start(self, part: str) -> Process:
        log = self.directory / f"{part}.log"
        log.unlink(missing_ok=True)
        command = [part, "--worker-name", "one"] if part == "worker" else [part]
        ready = "joined" if part == "worker" else "Ready"
        self.processes[part] = Process(log, *command, env=self.env).until_it_says(ready)
        return self.processes[part]

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.stop()

    @property
    def api(self) -> Api:
        return Api(f"http://127.0.0.1:{self.port}").login()

    def failed_attempts(self) -> int:
        """How many attempts have been counted against jobs, those that were done too."""
        database = f"file:{self.directory / 'data' / 'dpip.db'}?mode=ro"
        with closing(sqlite3.connect(database, uri=True)) as connection:
            count: int = connection.execute("SELECT sum(failures) FROM jobs").fetchone()[0]
            return count
