"""Pictures from HTTP servers to files, over connections that are kept."""

import http.client
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
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


def wait_for(ports: Sequence[int], died: Callable[[], bool]) -> None:
    """Return when all ``ports`` take connections. Raises ``LeftOut``."""
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
