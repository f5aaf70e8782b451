"""The paths that every job takes, each as a function that can be called again and again.

To add one, write a function that prepares what it needs, if need be in the folder that it is given,
and returns the path. Each call of the path does the same work again. To profile one, name it, and
how often it is called (a commit 8 times at most):

    PYTHONPATH=. python -m cProfile -s tottime -m bench.hot_paths placement 10000
"""

import io
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyvips
from sqlalchemy import Engine
from tests.contract.builders import (
    NO_TERM,
    NOW,
    build_filtered,
    build_original,
    build_placement,
    build_workload,
)
from tests.unit.scheduler.nodes import heartbeat, lease, promise

from dpip.api.multipart import MultipartForm
from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.queries import jobs, placing, workloads
from dpip.controller.datastore.schema import bring_up_to_date
from dpip.formats import read_header
from dpip.model.ids import new_id
from dpip.model.image import Image, PictureFormat
from dpip.model.workload import Workload
from dpip.scheduler.demand import Demand
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.placement import Outlook
from dpip.scheduler.policies import least_loaded
from dpip.wire.codec import decode, encode
from dpip.wire.messages import Heartbeat, Run, RunBatch

HotPath = Callable[[], None]

WORKERS = 200
PIPELINE = b'{"steps":[{"filter":"grayscale"}]}'
CHUNK = 64 * 1024
FORM_BYTES = 1 << 20

MOST_CALLS = 8
"""Of one path, counting those that warm it up."""


def placement(_: Path) -> HotPath:
    """A job is placed on one of 200 workers, and ends."""
    fleet = Fleet(least_loaded, silence_seconds=6.0)
    for number in range(WORKERS):
        fleet.heard(f"worker-{number:03}", "i", heartbeat(slots=4, prefetch=4), now=0)
    numbers = itertools.count(10_000)

    def path() -> None:
        job_id = f"job-{next(numbers)}"
        node, _ = fleet.candidates.choose(Demand(), Outlook(now=0), job_id)
        # An assertion would be counted.
        held = lease(job_id, worker=node.name)  # type: ignore[union-attr]
        fleet.placed(promise(held))
        fleet.ended(held)

    return path


def codec(_: Path) -> HotPath:
    """A call with 16 runs, and a heartbeat that lists 16 attempts, are written and read."""
    runs = tuple(
        Run(
            job_id=f"job-{number}",
            attempt=1,
            workload_id="workload",
            workload_name="holidays",
            image_id=f"image-{number}",
            format=PictureFormat.PNG,
            sha256="0" * 64,
            pipeline=PIPELINE,
            memory_limit=1 << 30,
            time_limit=30.0,
        )
        for number in range(16)
    )
    beat = heartbeat(*(lease(f"job-{number}") for number in range(16)))

    def path() -> None:
        decode(encode(RunBatch(runs=runs)), RunBatch, "run")
        decode(encode(beat), Heartbeat, "heartbeat")

    return path


def upload(_: Path) -> HotPath:
    """A form with a picture of 1 MiB is taken apart as it comes in, and its header read."""
    picture = pyvips.Image.black(16, 16).pngsave_buffer()
    head = b'--b\r\nContent-Disposition: form-data; name="workload"\r\n\r\nid\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="data"; filename="a.png"\r\n\r\n'
    body = head + picture + bytes(FORM_BYTES - len(picture)) + b"\r\n--b--\r\n"
    chunks = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]

    def path() -> None:
        form = MultipartForm("multipart/form-data; boundary=b")
        file = io.BytesIO()
        for chunk in chunks:
            file.writelines(form.feed(chunk))
        form.finish()
        file.seek(0)
        read_header(file)

    return path


def commit_of_an_upload(scratch: Path) -> HotPath:
    """An original and its job are written."""
    engine, workload = _database(scratch)

    def path() -> None:
        _add(engine, workload)

    return path


def commit_of_leases(scratch: Path) -> HotPath:
    """16 jobs are leased in one transaction."""
    engine, workload = _database(scratch)
    groups = iter([[_add(engine, workload) for _ in range(16)] for _ in range(MOST_CALLS)])

    def path() -> None:
        placements = [build_placement(job_id) for job_id, _ in next(groups)]
        with engine.begin() as connection:
            placing.lease(connection, placements, NO_TERM)

    return path


def commit_of_a_result(scratch: Path) -> HotPath:
    """A result is written, and its job done."""
    engine, workload = _database(scratch)
    held = []
    for _ in range(MOST_CALLS):
        job_id, original = _add(engine, workload)
        with engine.begin() as connection:
            (lease,) = placing.lease(connection, [build_placement(job_id)], NO_TERM)
        held.append((lease, build_filtered(original)))
    waiting = iter(held)

    def path() -> None:
        lease, filtered = next(waiting)
        with engine.begin() as connection:
            jobs.complete(connection, lease, filtered, 12.5, NOW)

    return path


HOT_PATHS = (placement, codec, upload, commit_of_an_upload, commit_of_leases, commit_of_a_result)


def _database(scratch: Path) -> tuple[Engine, Workload]:
    """The writer's engine of an empty SQLite database, and a workload in it."""
    engine, _ = open_engines(f"sqlite:///{scratch}/{new_id()}.sqlite", readers=1)
    bring_up_to_date(engine)
    workload = build_workload()
    with engine.begin() as connection:
        workloads.add_workload(connection, workload)
    return engine, workload


def _add(engine: Engine, workload: Workload) -> tuple[str, Image]:
    job_id, original = new_id(), build_original(workload)
    with engine.begin() as connection:
        workloads.add_original(connection, original, job_id, None)
    return job_id, original


if __name__ == "__main__":
    name, calls = sys.argv[1], int(sys.argv[2])
    make = next(each for each in HOT_PATHS if each.__name__ == name)
    with tempfile.TemporaryDirectory() as scratch:
        path = make(Path(scratch))
        for _ in range(calls):
            path()
