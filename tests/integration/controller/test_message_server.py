"""The embedded server starts, comes back, keeps workers in their place and leaves nothing."""

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

import nats
from dpip.controller.message_server import WORKER_USER, MessageServer
from dpip.errors import CannotStart, DpipError
from dpip.wire import subjects
from tests.nats import (
    JOIN_TOKEN,
    PATIENCE,
    SERVER_PASSWORD,
    Received,
    message_server,
    new_server,
    part_of,
    until,
    worker_of,
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MessageServer]:
    async with message_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def a_worker(server: MessageServer) -> AsyncIterator[tuple[Client, asyncio.Queue[str]]]:
    """A worker's connection, and what the server objects to."""
    objections: asyncio.Queue[str] = asyncio.Queue()

    async def objected(error: Exception) -> None:
        objections.put_nowait(str(error))

    client = await nats.connect(
        server.url, user=WORKER_USER, password=JOIN_TOKEN, error_cb=objected
    )
    try:
        yield client, objections
    finally:
        await client.close()


async def objection(objections: "asyncio.Queue[str]") -> str:
    async with asyncio.timeout(PATIENCE):
        return (await objections.get()).lower()


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


async def test_the_secrets_are_readable_by_their_owner_alone(
    server: MessageServer, tmp_path: Path
) -> None:
    """They lie in the configuration, and not on the command line."""
    configuration = tmp_path / "message-server" / "nats-server.json"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    users = json.loads(configuration.read_text())["authorization"]["users"]
    assert {user["password"] for user in users} == {SERVER_PASSWORD, JOIN_TOKEN}
    command = " ".join(psutil.Process(server.pid).cmdline())
    assert SERVER_PASSWORD not in command
    assert JOIN_TOKEN not in command


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


@pytest.mark.parametrize(
    "subject",
    [
        subjects.HELLO,
        subjects.HEARTBEATS,
        subjects.OUTCOMES,
        subjects.outcome("other"),
        subjects.JOBS_READY,
        subjects.ALL_SETTLED,
        "dpip.v1.>",
        ">",
    ],
)
async def test_a_worker_cannot_listen_to_what_is_not_for_workers(
    server: MessageServer, subject: str
) -> None:
    """The server objects, and nothing is delivered."""
    received: list[str] = []

    async def handler(message: Msg) -> None:
        received.append(message.subject)

    async with a_worker(server) as (worker, objections), part_of(server) as bus:
        await worker.subscribe(subject, cb=handler)
        assert "permissions violation for subscription" in await objection(objections)
        await bus.publish(subject.replace("*", "w").replace(">", "w"), b"secret")
        await bus.subscribe("after", Received(answer=b""))
        await bus.request("after", b"", PATIENCE)
        await worker.flush()
    assert received == []


@pytest.mark.parametrize(
    "subject",
    [
        subjects.run("w", "i"),
        subjects.ping("w", "i"),
        subjects.rejoin("w", "i"),
        subjects.JOBS_READY,
        subjects.settled("wl"),
    ],
)
async def test_a_worker_cannot_say_what_workers_do_not_say(
    server: MessageServer, subject: str
) -> None:
    """No worker calls another: the server objects, and what follows is the first to arrive."""
    received = Received()
    async with a_worker(server) as (worker, objections), part_of(server) as bus:
        await bus.subscribe("dpip.v1.>", received)
        await worker.publish(subject, b"forged")
        assert "permissions violation for publish" in await objection(objections)
        await worker.publish(subjects.heartbeat("w"), b"allowed")
        assert await received.next() == (subjects.heartbeat("w"), b"allowed")


async def test_a_worker_can_do_what_workers_do(server: MessageServer) -> None:
    """It says hello, beats, tells outcomes and answers calls."""
    async with worker_of(server) as worker, part_of(server) as bus:
        await bus.subscribe(subjects.HELLO, Received(answer=b"welcome"))
        await bus.subscribe(subjects.OUTCOMES, Received(answer=b"acknowledged"))
        heard = Received()
        await bus.subscribe(subjects.HEARTBEATS, heard)
        await bus.subscribe(subjects.GOODBYES, heard)
        await worker.subscribe(subjects.run("w", "i"), Received(answer=b"accepted"))
        await worker.subscribe(subjects.ping("w", "i"), Received(answer=b""))
        assert await worker.request(subjects.HELLO, b"", PATIENCE) == b"welcome"
        assert await worker.request(subjects.outcome("w"), b"", PATIENCE) == b"acknowledged"
        assert await bus.request(subjects.run("w", "i"), b"", PATIENCE) == b"accepted"
        assert await bus.request(subjects.ping("w", "i"), b"", PATIENCE) == b""
        await worker.publish(subjects.heartbeat("w"), b"1")
        assert (await heard.next())[1] == b"1"
        await worker.publish(subjects.goodbye("w"), b"2")
        assert (await heard.next())[1] == b"2"
