"""Memory of the API while many large pictures come in at once.

    python bench/uploads.py --uploads 100 --megabytes 20

Sends that many uncompressed TIFFs, all at the same time and each over a connection of its own, to
an API that runs with the controller and the scheduler in one process, as in `dpip up`, and prints
what that process occupied before and at most (``VmHWM``).
"""

import argparse
import tempfile
import threading
from pathlib import Path

import psutil

from dpip.client import Client
from dpip.client.local_system import LocalSystem, local_system
from dpip.filters.libvips import pyvips

_BANDS = 3
_WIDTH = 4000
_SHARES = 4
"""A user may have a quarter of what is on its way in."""


def main() -> None:
    """Print both."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--uploads", type=int, default=100)
    arguments.add_argument("--megabytes", type=int, default=20)
    given = arguments.parse_args()
    all_bytes = given.uploads * given.megabytes * 1_000_000
    # All are let in, so that all are in memory as far as they ever are.
    settings = {"DPIP_LIMITS__INCOMING_BYTES": str(2 * _SHARES * all_bytes)}
    with tempfile.TemporaryDirectory() as scratch, local_system(settings=settings) as system:
        picture = Path(scratch) / "picture.tif"
        height = given.megabytes * 1_000_000 // (_WIDTH * _BANDS)
        pyvips.Image.black(_WIDTH, height, bands=_BANDS).tiffsave(str(picture))
        before = peak()
        taken = uploaded(system, picture, given.uploads)
        print(
            f"{taken} of {given.uploads} pictures of {picture.stat().st_size / 1e6:.0f} MB taken; "
            f"memory {before} MiB before, {peak()} MiB at most"
        )


def uploaded(system: LocalSystem, picture: Path, count: int) -> int:
    """Send ``picture`` ``count`` times at once; how often it was taken."""
    with Client(system.api) as client:
        client.login(system.user, system.password)
        workload = client.create_workload("grayscale")
    all_are_here = threading.Barrier(count)
    images: list[str] = []

    def send() -> None:
        with Client(system.api) as sender:
            sender.login(system.user, system.password)
            all_are_here.wait()
            images.append(sender.upload(workload.id, picture))

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(images)


def peak() -> int:
    """MiB that the process of the API has occupied at most."""
    (api,) = psutil.Process().children()
    status = Path(f"/proc/{api.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
