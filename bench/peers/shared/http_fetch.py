"""Pictures from HTTP servers to files, over connections that are kept."""

import http.client
import os
import queue
import socket
import subprocess  # nosec B404 # runs the servers of peers alone
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.peer import LeftOut, Pictures

CONNECTIONS_A_SERVER = 4

_START_SECONDS = 60.0
_OK = 200


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address on which nobody listens now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def servers(commands: Mapping[int, Sequence[str | Path]], **variables: str) -> Iterator[None]:
    """Run a server on every port, by its command, for the length of the block.

    All take connections when it begins. Raises ``LeftOut`` if they do not.
    """
    running = [
        subprocess.Popen(  # nosec B603 # the program of a peer
            command,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands.values()
    ]
    try:
        _wait_for([*commands], lambda: any(server.poll() is not None for server in running))
        yield
    finally:
        for server in running:
            server.terminate()
        for server in running:
            server.wait()


def _wait_for(ports: Sequence[int], died: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if died() or time.monotonic() > deadline:
                    raise LeftOut("its server does not start") from None
                time.sleep(0.05)


def fetch_all(ports: Sequence[int], path_of: Callable[[str], str], pictures: Pictures) -> None:
    """Fetch ``path_of`` every source into its target. One that is refused leaves no file.

    Every server has a few connections, each of which takes the next picture when it is free, so
    that no server waits while another has a queue.
    """
    waiting: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for picture in pictures:
        waiting.put(picture)
    threads = [
        threading.Thread(target=_fetch, args=(port, path_of, waiting))
        for port in [*ports] * CONNECTIONS_A_SERVER
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _fetch(port: int, path_of: Callable[[str], str], waiting: queue.SimpleQueue) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        try:
            source, target = waiting.get_nowait()
        except queue.Empty:
            return connection.close()
        connection.request("GET", path_of(source))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == _OK:
            Path(target).write_bytes(content)
