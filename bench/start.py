"""Measure how soon `dpip up` lets somebody in, and what it costs while nobody does anything.

python bench/start.py --rounds 5
"""

import argparse
import statistics
import time

import psutil

from dpip.client import Client
from dpip.client.local_system import local_system

SETTLE_SECONDS = 5.0


def main() -> None:
    """Print both."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--idle-seconds", type=float, default=20.0)
    given = arguments.parse_args()
    starts = []
    for number in range(given.rounds):
        begin = time.perf_counter()
        with local_system() as system, Client(system.api) as client:
            client.login(system.user, system.password)
            starts.append(time.perf_counter() - begin)
            if number == given.rounds - 1:
                time.sleep(SETTLE_SECONDS)
                before = cpu_seconds()
                time.sleep(given.idle_seconds)
                idle = (cpu_seconds() - before) / given.idle_seconds
    print(
        f"first login after {statistics.median(starts):.2f} s "
        f"({min(starts):.2f} to {max(starts):.2f}, {len(starts)} starts)"
    )
    print(f"idle: {idle:.1%} of a core, with {given.idle_seconds:g} s watched")


def cpu_seconds() -> float:
    """Of all processes of the system: they are below this one."""
    times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(spent.user + spent.system for spent in times)


if __name__ == "__main__":
    main()
