"""Workers that ``dpip up`` starts before it can take them in."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dpip.worker.local_workers import LocalWorkers
from tests.nats import JOIN_SECRET, until


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where a controller's message-passing server would be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def worker() -> psutil.Process | None:
    """The worker that this test has started, once it has a child that loads."""
    for process in psutil.Process().children():
        if "worker" in process.cmdline() and process.children():
            return process
    return None


async def test_workers_load_at_once_and_dial_when_they_are_admitted(
    tmp_path: Path, listener: socket.socket
) -> None:
    """So does one that is started again later, without being admitted anew."""

    async def loads() -> psutil.Process | None:
        return worker()

    async def dialled() -> bool:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    (tmp_path / "join-token").write_text(str(JOIN_SECRET))
    controller = f"127.0.0.1:{listener.getsockname()[1]}"
    async with LocalWorkers(
        controller, 1, data_dir=tmp_path, log_level="error", drain_seconds=1
    ) as workers:
        first = await until(loads, "the worker to load")
        assert not await dialled()
        workers.admit()
        await until(dialled, "the worker to dial")
        first.kill()
        while await dialled():  # What the first had begun.
            pass
        await until(dialled, "the next one to dial")
        second = worker()
        assert second is None or second.pid != first.pid
    assert worker() is None
