"""The embedded server starts, comes back, keeps workers in their place and leaves nothing."""

import asyncio
import os
import signal
import socket
import stat
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from dpip.controller import message_server as message_server_module
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


async def test_what_a_killed_server_has_announced_is_removed(tmp_path: Path) -> None:
    """The next one may have its process id, and would be taken to listen where it did."""
    stale = tmp_path / "message-server" / "nats-server_1.ports"
    stale.parent.mkdir()
    stale.write_text('{"nats": ["nats://127.0.0.1:1"]}')
    async with message_server(tmp_path):
        assert not stale.exists()
    assert not list(stale.parent.glob("*.ports"))


async def test_its_directory_may_have_any_letters(tmp_path: Path) -> None:
    """The server reads its configuration as it was written."""
    async with message_server(tmp_path / "übung 😀 '\"#$x%") as server, part_of(server):
        assert server.port != 0


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


@pytest.mark.parametrize("word", [b"", b"x" * 200_000])
async def test_one_who_hangs_up_is_not_the_server(tmp_path: Path, word: bytes) -> None:
    """Nor is one who greets without end: it is looked for again."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word)
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort() if not word else writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        server = new_server(tmp_path, port=other.sockets[0].getsockname()[1])
        assert not await server._takes_connections()


async def test_one_who_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes connections and does not greet has not started."""
    monkeypatch.setattr(message_server_module, "_START_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = new_server(tmp_path, port=silent.getsockname()[1])
        with pytest.raises(CannotStart, match="did not take connections"):
            await server._until_ready(server._process)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"nats": []}', '{"nats": ["nats://x"]}'])
async def test_an_announcement_that_is_half_written_names_no_port(
    tmp_path: Path, text: str
) -> None:
    """It is read again."""
    (tmp_path / "nats-server_1.ports").write_text(text)
    assert new_server(tmp_path)._announced_port(1) == 0
