"""How soon the API refuses pictures that declare too many pixels, and what they cost it.

    PYTHONPATH=. .venv/bin/python bench/pixel_bombs.py [uploads of each]

Each bomb of the hostile pictures is uploaded, by default 50 times, to a system of its own. Printed
are the milliseconds from the request to its answer, and by how much the memory of the process with
API, controller and scheduler has grown at the end. The exit code is 1 for a bomb that was taken.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from tests.acceptance.pictures import picture
from tests.acceptance.system import System
from tests.hostile import BOMBS


def main(uploads: int) -> int:
    """Print a table."""
    with tempfile.TemporaryDirectory(prefix="dpip-bombs-") as directory:
        system = System(Path(directory), workers=0)
        try:
            return upload_all(system, uploads)
        finally:
            system.process.stop()


def upload_all(system: System, uploads: int) -> int:
    """Upload every bomb ``uploads`` times; 1 if one was taken."""
    api, process = system.api, psutil.Process(system.process.popen.pid)
    workload_id = api.create()["workload_id"]
    api.push(workload_id, picture(0))
    before = process.memory_info().rss
    taken = 0
    print(f"{'bomb':32}{'answers':>14}{'median ms':>12}{'worst ms':>12}")
    for name, content in BOMBS.items():
        milliseconds, statuses = [], set()
        for _ in range(uploads):
            begin = time.perf_counter()
            answer = api.session.post(
                f"{api.url}/images", files={"data": content}, data={"workload_id": workload_id}
            )
            milliseconds.append(1000 * (time.perf_counter() - begin))
            statuses.add(answer.status_code)
        taken += 201 in statuses
        median, worst = statistics.median(milliseconds), max(milliseconds)
        print(f"{name:32}{statuses!s:>14}{median:12.1f}{worst:12.1f}")
    grown = (process.memory_info().rss - before) / 2**20
    print(f"memory of API, controller and scheduler grew by {grown:.1f} MiB")
    return int(taken > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
