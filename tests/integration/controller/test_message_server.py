"""The embedded server starts, comes back, keeps workers in their place and leaves nothing."""

import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from dpip.controller.message_server import MessageServer
from dpip.errors import CannotStart, DpipError
from tests.nats import (
    PATIENCE,
    SERVER_PASSWORD,
    Received,
    message_server,
    new_server,
    part_of,
    until,
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MessageServer]:
    async with message_server(tmp_path) as server:
        yield server


async def test_a_free_port_is_taken_and_told(server: MessageServer) -> None:
    """Whoever starts it on port 0 can connect to the port that it names."""
    assert server.port != 0
    async with part_of(server) as bus:
        await bus.subscribe("x", Received(answer=b"here"))
        assert await bus.request("x", b"", PATIENCE) == b"here"


async def test_two_servers_stand_side_by_side(server: MessageServer, tmp_path: Path) -> None:
    """Each has its own port and hears nothing of the other."""
    async with message_server(tmp_path / "second") as second:
        assert second.port != server.port
        async with part_of(server) as bus, part_of(second) as other:
            await other.subscribe("x", Received(answer=b""))
            with pytest.raises(DpipError):
                await bus.request("x", b"", PATIENCE)


async def test_a_killed_server_comes_back_on_its_port(server: MessageServer) -> None:
    """Workers find it where it was, also when it had chosen the port itself."""
    port, pid = server.port, server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    async def again() -> bool:
        try:
            async with part_of(server):
                return server.pid != pid
        except DpipError:
            return False

    await until(again, "the server to come back")
    assert server.port == port


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """With the option that names another, and without leaving a process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = new_server(tmp_path, port=port)
        with pytest.raises(CannotStart, match=rf"port {port}.*--controller-port"):
            await server.start()
        assert server.pid is None


async def test_the_secret_is_readable_by_its_owner_alone(
    server: MessageServer, tmp_path: Path
) -> None:
    """It lies in the configuration, and not on the command line."""
    configuration = tmp_path / "message-server" / "nats-server.json"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    assert SERVER_PASSWORD in configuration.read_text()
    assert SERVER_PASSWORD not in " ".join(psutil.Process(server.pid).cmdline())


async def test_stopping_leaves_no_process(tmp_path: Path) -> None:
    """And frees the port."""
    server = new_server(tmp_path)
    await server.start()
    pid = server.pid
    assert pid is not None
    await server.stop()
    assert not psutil.pid_exists(pid)
    with socket.create_server(("127.0.0.1", server.port)):
        pass


async def test_a_stopped_server_can_be_started_again(tmp_path: Path) -> None:
    """On the port that it had."""
    server = new_server(tmp_path)
    await server.start()
    port = server.port
    await server.stop()
    await server.start()
    try:
        assert server.port == port
        async with part_of(server):
            pass
    finally:
        await server.stop()
