"""Measure how soon a system works again after one of its processes was killed.

Each part is a process of its own, on this machine. What is measured is read from the table of jobs,
never written. A placement counts if its attempt was done in the end.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess  # nosec B404 # runs our own programs alone
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyvips
import urllib3

from dpip.supervision import die_with_parent

WORKERS = ("one", "two", "three")
VICTIM = "two"
# Of a system that lasts as long as the measurement.
PASSWORD = "correct horse"  # noqa: S105  # nosec B105
BACKLOG = 60
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
STEADY_SECONDS = 11.0
"""How long a supervised process has to be up for its next start not to be delayed."""
TARGETS = {"leased again": 15.0, "first placement": 5.0, "first upload": 5.0}
SETTLED = ("done", "failed")
Attempt = tuple[str, int]


class System:
    """API, controller, scheduler and workers, each a process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        port, controller_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if name[:5] != "DPIP_"}
        self._environment = inherited | {
            "DPIP_CONFIG": str(home / "dpip.toml"),
            "DPIP_DATA_DIR": str(home / "data"),
            "DPIP_PORT": str(port),
            "DPIP_CONTROLLER_PORT": str(controller_port),
            "DPIP_CONTROLLER": f"127.0.0.1:{controller_port}",
            "DPIP_ADMIN_PASSWORD": PASSWORD,
        }
        (home / "dpip.toml").touch()

    def start(self, part: str) -> None:
        """Start a part, or a worker by its name."""
        command = ["worker", "--worker-name", part] if part in WORKERS else [part]
        with (self._home / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(  # noqa: S603  # nosec B603 # our own program
                [sys.executable, "-m", "dpip", *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def kill(self, part: str) -> None:
        """Kill a part, which is ended on return."""
        self._processes[part].kill()
        self._processes[part].wait()

    def signal(self, part: str, number: signal.Signals) -> None:
        """Send a signal to a part."""
        self._processes[part].send_signal(number)

    def kill_message_server(self) -> None:
        """Kill nats-server, which the controller starts again: each time as for the first time."""
        time.sleep(STEADY_SECONDS)
        for child in psutil.Process(self._processes["controller"].pid).children():
            child.kill()

    def stop(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.kill()
            process.wait()


class Api:
    """As much of the API as keeps a system busy."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(retries=False, timeout=10.0, maxsize=4)
        self._headers: dict[str, str] = {}
        self._workload_id = ""

    def begin(self) -> None:
        """Log in and create a workload."""
        headers = urllib3.make_headers(basic_auth=f"admin:{PASSWORD}")
        login = self._http.request("POST", f"{self._url}/login", headers=headers).json()
        self._headers = {"Authorization": f"Bearer {login['token']}"}
        self._workload_id = self._post("workloads", filter="blur", sigma="10")["workload_id"]

    def upload(self, picture: bytes) -> None:
        """Push a picture; returns when it is accepted. Raises ``urllib3.exceptions.HTTPError``."""
        self._post("images", workload_id=self._workload_id, data=("picture.png", picture))

    def _post(self, path: str, **fields: str | tuple[str, bytes]) -> dict[str, str]:
        answer = self._http.request(
            "POST", f"{self._url}/{path}", fields=fields, headers=self._headers
        )
        if answer.status != 201:
            raise urllib3.exceptions.HTTPError(f"{answer.status}: {answer.data!r}")
        document: dict[str, str] = answer.json()
        return document


class JobsTable:
    """The table of jobs, as it stands in the database now."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def count(self, state: str) -> int:
        """How many jobs are in a state."""
        query = "SELECT count(*) FROM jobs WHERE state = ?"
        count: int = self._connection.execute(query, (state,)).fetchone()[0]
        return count

    def held_by(self, worker: str) -> set[Attempt]:
        """The attempts that a worker holds."""
        query = "SELECT id, attempt FROM jobs WHERE state = 'leased' AND worker = ?"
        return set(self._connection.execute(query, (worker,)).fetchall())

    def taken(self) -> dict[Attempt, str]:
        """The last attempt of each job that had one, and the state of the job."""
        rows = self._connection.execute("SELECT id, attempt, state FROM jobs WHERE attempt > 0")
        return {(job, attempt): state for job, attempt, state in rows}


def leased_again(table: JobsTable, disturb: Callable[[], None]) -> float:
    """Disturb the victim; seconds until each job that it held has settled or its next attempt."""
    begin = time.monotonic()
    while not (held := _in_hand(table)):
        _look_again(begin)
    begin = time.monotonic()
    disturb()
    # The number of an attempt stays with its job until the next one is leased.
    while any(state not in SETTLED for attempt, state in table.taken().items() if attempt in held):
        _look_again(begin)
    return time.monotonic() - begin


def _in_hand(table: JobsTable) -> set[Attempt]:
    """What the victim works on, without what is only on its way there or back."""
    before = table.held_by(VICTIM)
    time.sleep(0.3)
    return before & table.held_by(VICTIM)


def first_placement(table: JobsTable, disturb: Callable[[], None]) -> float:
    """Disturb the system, which brings it back; seconds until the first placement that held."""
    disturb()
    begin = time.monotonic()
    before = set(table.taken())
    seen: dict[Attempt, float] = {}
    while True:
        for attempt, state in table.taken().items():
            if attempt in before:
                continue
            seconds = seen.setdefault(attempt, time.monotonic() - begin)
            if state == "done":
                return seconds
        _look_again(begin)


def first_upload(api: Api, picture: bytes, disturb: Callable[[], None]) -> float:
    """Disturb the API, which brings it back; seconds until it accepts an upload."""
    disturb()
    begin = time.monotonic()
    while True:
        try:
            api.upload(picture)
        except (urllib3.exceptions.HTTPError, OSError):
            _look_again(begin)
        else:
            return time.monotonic() - begin


def measure(rounds: int) -> Iterator[tuple[str, str, list[float]]]:
    """Yield what was done, what was waited for, and the seconds that it took in each round."""
    with tempfile.TemporaryDirectory(prefix="dpip-recovery-") as home:
        system = System(Path(home))
        table = None
        done = threading.Event()
        try:
            for part in ("controller", "api", "scheduler"):
                system.start(part)
            _eventually(Path(home, "data", "join-token").read_text)  # Workers find it there.
            for worker in WORKERS:
                system.start(worker)
            picture = pyvips.Image.black(3000, 3000, bands=3).pngsave_buffer()
            api = Api(system.url)
            _eventually(api.begin)
            table = JobsTable(Path(home, "data", "dpip.db"))
            threading.Thread(
                target=_keep_busy, args=(api, picture, Path(home, "data", "dpip.db"), done)
            ).start()

            def restarted(part: str) -> Callable[[], None]:
                def disturb() -> None:
                    system.kill(part)
                    system.start(part)

                return disturb

            def again(disturb: Callable[[], None], mend: Callable[[], None]) -> float:
                seconds = leased_again(table, disturb)
                mend()
                return seconds

            measurements: list[tuple[str, str, Callable[[], float]]] = [
                (
                    "worker killed, not started again",
                    "leased again",
                    lambda: again(lambda: system.kill(VICTIM), lambda: system.start(VICTIM)),
                ),
                (
                    "worker killed, started again",
                    "leased again",
                    lambda: again(restarted(VICTIM), lambda: None),
                ),
                (
                    "worker frozen",
                    "leased again",
                    lambda: again(
                        lambda: system.signal(VICTIM, signal.SIGSTOP),
                        lambda: system.signal(VICTIM, signal.SIGCONT),
                    ),
                ),
                *(
                    (
                        f"{part} killed, started again",
                        "first placement",
                        lambda part=part: first_placement(table, restarted(part)),
                    )
                    for part in ("controller", "scheduler")
                ),
                (
                    "nats-server killed",
                    "first placement",
                    lambda: first_placement(table, system.kill_message_server),
                ),
                (
                    "api killed, started again",
                    "first upload",
                    lambda: first_upload(api, picture, restarted("api")),
                ),
            ]
            for fault, until, measurement in measurements:
                took = []
                for _ in range(rounds):
                    took.append(measurement())
                    _until_all_work(table)
                yield fault, until, took
        finally:
            done.set()
            if table is not None:
                table.close()
            system.stop()


def _keep_busy(api: Api, picture: bytes, database: Path, done: threading.Event) -> None:
    table = JobsTable(database)
    while not done.wait(0.1):
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, sqlite3.Error):
            while table.count("pending") < BACKLOG and not done.is_set():
                api.upload(picture)
    table.close()


def _until_all_work(table: JobsTable) -> None:
    """Wait until there is a backlog and every worker has something in hand, as it had before."""
    begin = time.monotonic()
    while table.count("pending") < BACKLOG // 2 or not all(map(table.held_by, WORKERS)):
        _look_again(begin)


def _eventually(action: Callable[[], object]) -> None:
    begin = time.monotonic()
    while True:
        try:
            action()
        except (urllib3.exceptions.HTTPError, OSError):
            _look_again(begin)
        else:
            return


def _look_again(begin: float) -> None:
    if time.monotonic() - begin > PATIENCE_SECONDS:
        raise SystemExit(f"nothing happened for {PATIENCE_SECONDS:g} s")
    time.sleep(LOOK_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def main() -> int:
    """Print a table, or JSON; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    arguments = parser.parse_args()
    missed = False
    if not arguments.json:
        print(f"{'fault':34}{'until':18}{'median s':>10}{'worst s':>10}{'target s':>10}")
    for fault, until, took in measure(arguments.rounds):
        median, worst, target = statistics.median(took), max(took), TARGETS[until]
        missed = missed or worst > target
        if arguments.json:
            print(json.dumps({"fault": fault, "until": until, "seconds": took, "target": target}))
        else:
            print(f"{fault:34}{until:18}{median:10.2f}{worst:10.2f}{target:10.0f}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
