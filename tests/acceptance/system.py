"""The real command line in real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import psutil
import requests

from tests.waiting import eventually

ADMIN = ("admin", "correct horse")
LONG_LEASES = {"DPIP_LEASE__TIMEOUT_SECONDS": "120"}
"""For tests in which no attempt may fail: a machine that stalls is nobody's silence."""


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """The variables of a process that works on ``data_dir`` and sees no other settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DPIP_")}
    return {
        **inherited,
        "DPIP_DATA_DIR": str(data_dir),
        "DPIP_ADMIN_USER": ADMIN[0],
        "DPIP_ADMIN_PASSWORD": ADMIN[1],
        **more,
    }


def dpip(*arguments: str, env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``dpip`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "dpip", *arguments],
        env=env,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        **options,
    )


class Process:
    """A ``dpip`` command that runs until it is stopped; ``said`` is all it has written."""

    def __init__(
        self,
        log: Path,
        *arguments: str,
        env: dict[str, str],
        program: tuple[str, ...] = ("-m", "dpip"),
        cwd: Path | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *program, *arguments],
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until_it_says(self, words: str) -> Self:
        def look() -> bool:
            assert self.popen.poll() is None, self.said
            return words in self.said

        eventually(look, f"{words!r} in: {self.said}")
        return self

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        """Stop it as an operator does, and return its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout=60)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)


class Api:
    """A plain script's view of the API: ``requests`` and nothing else."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def login(self, user: str = ADMIN[0], password: str = ADMIN[1]) -> Self:
        answer = self.session.post(f"{self.url}/login", auth=(user, password))
        assert answer.status_code == 200, answer.text
        self.session.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return self

    def create(self, **fields: str) -> dict[str, Any]:
        answer = self.session.post(f"{self.url}/workloads", data=fields)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def push(self, workload_id: str, picture: bytes, kind: str = "original") -> str:
        answer = self.session.post(
            f"{self.url}/images",
            files={"data": picture},
            data={"workload_id": workload_id, "type": kind},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["image_id"])

    def workload(self, workload_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.session.get(f"{self.url}/workloads/{workload_id}").json()
        return found

    def until_completed(self, workload_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            try:
                found = self.workload(workload_id)
            except requests.ConnectionError:  # It is being started again.
                return None
            return found if found.get("status") == "completed" else None

        return eventually(look, f"workload {workload_id} to complete")

    def results(self, workload_id: str) -> list[dict[str, Any]]:
        answer = self.session.get(f"{self.url}/workloads/{workload_id}/results?limit=1000")
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def pull(self, image_id: str) -> bytes:
        answer = self.session.get(f"{self.url}/images/{image_id}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def workers(self) -> dict[str, dict[str, Any]]:
        workers = self.session.get(f"{self.url}/status").json()["workers"]
        return {worker["name"]: worker for worker in workers}


class System:
    """``dpip up`` on free ports, with its own data directory."""

    def __init__(self, directory: Path, *, workers: int = 2, **settings: str) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.env = environment(self.data_dir, **settings)
        self.process = Process(
            directory / "up.log",
            *("up", "--json", "--port", "0", "--controller-port", "0"),
            *("--workers", str(workers)),
            env=self.env,
        ).until_it_says('"api"')
        ready = next(line for line in self.process.said.splitlines() if line.startswith("{"))
        # A worker may write its first line before this one has its end.
        self.ready: dict[str, str] = json.JSONDecoder().raw_decode(ready)[0]

    @property
    def api(self) -> Api:
        return Api(self.ready["api"]).login()

    def worker(
        self, name: str, *arguments: str, program: tuple[str, ...] = ("-m", "dpip"), **more: str
    ) -> Process:
        return Process(
            self.directory / f"{name}.log",
            *("worker", "--controller", self.ready["controller"], "--worker-name", name),
            *arguments,
            env={**self.env, **more},
            program=program,
        )

    def process_of(self, worker: str) -> psutil.Process:
        """The process of a local worker."""
        return next(
            child
            for child in self.process.children()
            if worker in child.cmdline() and "worker" in child.cmdline()
        )
