"""Memory of the API while many clients ask for a large picture and read nothing of it.

    python bench/idle_readers.py --readers 400 --megabytes 64
    python bench/idle_readers.py --readers 400 --megabytes 64 --fast

Each of them asks over a connection of its own. With ``--fast`` they read all of it, sixteen at a
time and as fast as they can. Prints what the process of the API occupied before (``VmRSS``), at
most (``VmHWM``) and three seconds after the last of them had gone, and how much CPU it took.
"""

import argparse
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests

from dpip.client import Client
from dpip.client.local_system import LocalSystem, local_system
from dpip.filters.libvips import pyvips

_BANDS = 3
_WIDTH = 4000
_AT_ONCE = 16
_IDLE_SECONDS = 5.0
_GONE_SECONDS = 3.0
_BLOCK = 1 << 20
_FORGET_PEAK = b"5"
"""See proc_pid_clear_refs(5). The peak before is that of checking passwords."""


def main() -> None:
    """Print them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--readers", type=int, default=400)
    arguments.add_argument("--megabytes", type=int, default=64)
    arguments.add_argument("--fast", action="store_true")
    given = arguments.parse_args()
    with local_system(workers=0) as system:
        request = request_for_picture(system, given.megabytes)
        (api,) = psutil.Process().children()
        Path(f"/proc/{api.pid}/clear_refs").write_bytes(_FORGET_PEAK)
        before, cpu_before = memory(api, "VmRSS"), cpu_seconds(api)
        read = (read_by_all if given.fast else read_by_none)(system, request, given.readers)
        time.sleep(_GONE_SECONDS)
        print(
            f"{given.readers} clients, {read / 1e6:.0f} MB read; memory {before} MiB before, "
            f"{memory(api, 'VmHWM')} MiB at most, {memory(api, 'VmRSS')} MiB afterwards; "
            f"{cpu_seconds(api) - cpu_before:.1f} s of CPU"
        )


def request_for_picture(system: LocalSystem, megabytes: int) -> bytes:
    """Upload a picture of that size; the request for it."""
    client = Client(system.api)
    client.login(system.user, system.password)
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch) / "picture.tif"
        height = megabytes * 1_000_000 // (_WIDTH * _BANDS)
        pyvips.Image.black(_WIDTH, height, bands=_BANDS).tiffsave(str(picture))
        image_id = client.upload(client.create_workload("grayscale").id, picture)
    client.close()
    login = requests.post(f"{system.api}/login", auth=(system.user, system.password), timeout=60)
    return (
        f"GET /images/{image_id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {login.json()['token']}\r\n\r\n"
    ).encode()


def read_by_none(system: LocalSystem, request: bytes, readers: int) -> int:
    """Have ``readers`` ask, read nothing, and go."""
    connections = [asked(system, request) for _ in range(readers)]
    time.sleep(_IDLE_SECONDS)
    for connection in connections:
        connection.close()
    return 0


def read_by_all(system: LocalSystem, request: bytes, readers: int) -> int:
    """Have ``readers`` ask and read all; how many bytes they read."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return sum(threads.map(lambda _: read_all(system, request), range(readers)))


def read_all(system: LocalSystem, request: bytes) -> int:
    """Ask and read all; how many bytes that is."""
    read = 0
    with asked(system, request) as connection:
        while block := connection.recv(_BLOCK):
            read += len(block)
    return read


def asked(system: LocalSystem, request: bytes) -> socket.socket:
    """A connection on which ``request`` was sent."""
    address = urlsplit(system.api)
    connection = socket.create_connection((str(address.hostname), address.port or 80))
    connection.sendall(request)
    return connection


def memory(process: psutil.Process, field: str) -> int:
    """MiB in a field of its status; see proc_pid_status(5)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) // 1024


def cpu_seconds(process: psutil.Process) -> float:
    """CPU that it has taken."""
    return sum(process.cpu_times()[:2])


if __name__ == "__main__":
    main()
