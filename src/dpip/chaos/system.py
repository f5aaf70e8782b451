"""The system under test: every part a process of its own, and a cable for each worker."""

import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dpip.chaos.network import Network
from dpip.chaos.parts import Part
from dpip.chaos.plan import Fault, Kind, Target
from dpip.client import Client
from dpip.errors import ApiUnreachable, CannotStart
from dpip.model.image_place import ORPHANS

_START_SECONDS = 120.0
_LOOK_AGAIN_SECONDS = 0.1
_SERVERS = (Target.CONTROLLER, Target.API, Target.SCHEDULER)
_ADMINISTRATOR = "admin"
_JOINED = "joined"
"""What a worker writes to its log when it takes jobs."""


class System:
    """Controller, scheduler, API and workers in ``directory``, each with its log beside the data.

    ``settings`` are ``DPIP_*`` variables for all of them.
    """

    def __init__(
        self, directory: Path, network: Network, ports: tuple[int, int], settings: Mapping[str, str]
    ) -> None:
        controller_port, api_port = ports
        self.images = directory / "data" / "images"
        self.url = f"http://127.0.0.1:{api_port}"
        self._directory = directory
        self._network = network
        self._controller_port = controller_port
        self._password = secrets.token_urlsafe(16)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DPIP_")},
            **settings,
            "DPIP_CONFIG": str(_empty_file(directory / "dpip.toml")),
            "DPIP_DATA_DIR": str(directory / "data"),
            "DPIP_ADMIN_USER": _ADMINISTRATOR,
            "DPIP_ADMIN_PASSWORD": self._password,
            "DPIP_PORT": str(api_port),
            "DPIP_CONTROLLER_PORT": str(controller_port),
            # Every worker finds the API at the address at which it found the controller.
            "DPIP_API_URL": f"http://0.0.0.0:{api_port}",
            "DPIP_WORKER__SCRATCH_DIR": str(_made(directory / "scratch")),
        }
        self._servers: dict[Target, Part] = {}
        self._workers: list[Part] = []

    @contextmanager
    def running(self, workers: int) -> Iterator[None]:
        """Run the parts, with ``workers`` workers, for the length of the block."""
        self._servers = {target: self._part(target, target) for target in _SERVERS}
        self._workers = [self._worker(number) for number in range(workers)]
        parts = [*self._servers.values(), *self._workers]
        with ExitStack() as stack:
            for part in parts:
                part.start()
                stack.callback(part.stop)
            yield

    def client(self) -> Client:
        """Return a client that is logged in. Waits for the API; raises ``CannotStart``."""
        client = Client(self.url)
        give_up_at = time.monotonic() + _START_SECONDS
        while True:
            try:
                client.login(_ADMINISTRATOR, self._password)
            except ApiUnreachable as error:
                if time.monotonic() > give_up_at:
                    raise CannotStart(
                        part="The system under test",
                        reason=f"{error} Its logs are in {self._directory}",
                    ) from error
                time.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return client

    def files(self) -> int:
        """How many pictures there are in the image directories, those on their way in too."""
        return sum(
            not name.startswith(".")
            for directory, _, names in os.walk(self.images)
            if ORPHANS not in Path(directory).parts
            for name in names
        )

    def inflict(self, fault: Fault) -> None:
        """Do what ``fault`` says; returns when the part is on its way back."""
        match fault.target, fault.kind:
            case Target.NETWORK, kind:
                self._network.cut(
                    fault.worker,
                    to_servers=kind is not Kind.CUT_TO_WORKER,
                    to_worker=kind is not Kind.CUT_TO_SERVERS,
                )
                time.sleep(fault.seconds)
                self._network.heal(fault.worker)
            case Target.NATS, _:
                self._servers[Target.CONTROLLER].kill_message_server()
            case Target.WORKER, Kind.FREEZE:
                self._workers[fault.worker].freeze(fault.seconds, busy_after=_JOINED)
            case Target.WORKER, _:
                self._workers[fault.worker].kill(fault.seconds)
            case target, _:
                self._servers[target].kill(fault.seconds)

    def _worker(self, number: int) -> Part:
        controller = f"{self._network.address(number)}:{self._controller_port}"
        # All find the image store on their file system: half of them are to go there themselves.
        return self._part(
            f"worker-{number}",
            *("worker", "--controller", controller, "--worker-name", f"worker-{number}"),
            DPIP_DIRECT_STORE="auto" if number % 2 else "off",
        )

    def _part(self, name: str, *arguments: str, **more: str) -> Part:
        log = self._directory / f"{name}.log"
        return Part(name, arguments, self._environment | more, log)


def two_free_ports() -> tuple[int, int]:
    """Ports that nobody listens on just now, for the controller and the API."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


def _empty_file(path: Path) -> Path:
    path.touch()
    return path


def _made(path: Path) -> Path:
    path.mkdir()
    return path
