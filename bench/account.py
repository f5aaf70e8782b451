"""CPU that a picture of a folder takes in each process of a system, in milliseconds.

    python bench/account.py --mix frames --filter grayscale

Filters the pictures of `dpip bench` through a system of its own, as `dpip run` does, once to warm
up and then several times over.
"""

import argparse
import tempfile
from pathlib import Path

from dpip.bench.control_plane import cpu_seconds
from dpip.bench.mixes import MIXES, make_mix
from dpip.cli.photographs import photographs
from dpip.client import Client
from dpip.client.batch import filter_pictures
from dpip.client.local_system import local_system
from dpip.client.targets import Picture


def main() -> None:
    """Print a line a process, and all together."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mix", choices=MIXES, default="frames")
    arguments.add_argument("--filter", default="grayscale")
    arguments.add_argument("--times", type=int, default=4)
    given = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="dpip-account-") as scratch,
        local_system() as system,
        Client(system.api) as client,
    ):
        make_mix(given.mix, photographs(), Path(scratch))
        sources = sorted(Path(scratch).iterdir())
        client.login(system.user, system.password)
        client.use_store(system.images)
        filter_pictures(client, _pictures(sources, 1, Path(scratch, "warm")), given.filter)
        pictures = _pictures(sources, given.times, Path(scratch, "out"))
        before = cpu_seconds()
        seconds = filter_pictures(client, pictures, given.filter).seconds
        used = {name: spent - before.get(name, 0.0) for name, spent in cpu_seconds().items()}
    print(f"{len(pictures)} pictures, {1000 * seconds / len(pictures):.2f} ms each by the clock")
    for name, spent in [*used.items(), ("together", sum(used.values()))]:
        print(f"{1000 * spent / len(pictures):8.2f}  {name}")


def _pictures(sources: list[Path], times: int, out: Path) -> list[Picture]:
    return [
        Picture(source, out / str(time) / source.name)
        for time in range(times)
        for source in sources
    ]


if __name__ == "__main__":
    main()
