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
_FORGET_PEAK = b"5"
"""See proc_pid_clear_refs(5). The peak before is that of checking passwords."""


def main() -> None:
    """Print both."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--uploads", type=int, default=100)
    arguments.add_argument("--megabytes", type=int, default=20)
    given = arguments.parse_args()
    all_bytes = given.uploads * given.megabytes * 1_000_000
    # All are let in, with room to spare, so that all are in memory as far as they ever are.
    settings = {"DPIP_LIMITS__INCOMING_BYTES": str(2 * _SHARES * all_bytes)}
    with tempfile.TemporaryDirectory() as scratch, local_system(settings=settings) as system:
        picture = Path(scratch) / "picture.tif"
        height = given.megabytes * 1_000_000 // (_WIDTH * _BANDS)
        pyvips.Image.black(_WIDTH, height, bands=_BANDS).tiffsave(str(picture))
        (api,) = psutil.Process().children()
        senders = [logged_in(system) for _ in range(given.uploads)]
        workload = senders[0].create_workload("grayscale")
        Path(f"/proc/{api.pid}/clear_refs").write_bytes(_FORGET_PEAK)
        before = memory_peak(api)
        taken = sent_at_once(senders, workload.id, picture)
        print(
            f"{taken} of {given.uploads} pictures of {picture.stat().st_size / 1e6:.0f} MB taken; "
            f"memory {before} MiB before, {memory_peak(api)} MiB at most"
        )


def logged_in(system: LocalSystem) -> Client:
    """A client with a connection of its own."""
    client = Client(system.api)
    client.login(system.user, system.password)
    return client


def sent_at_once(senders: list[Client], workload_id: str, picture: Path) -> int:
    """Have all send ``picture`` at the same time; how often it was taken."""
    all_are_here = threading.Barrier(len(senders))
    images: list[str] = []

    def send(sender: Client) -> None:
        all_are_here.wait()
        images.append(sender.upload(workload_id, picture))
        sender.close()

    threads = [threading.Thread(target=send, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(images)


def memory_peak(process: psutil.Process) -> int:
    """MiB that it has occupied at most since that was forgotten."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
