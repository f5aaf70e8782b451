"""Celery with Redis as broker and result backend, and pyvips in its tasks; both from PyPI."""

import contextlib
import json
import os
import subprocess  # nosec B404 # runs Redis and Celery alone
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from shared.environments import program, virtual_environment
from shared.peer import CORES, PNG_LEVEL, QUALITY, LeftOut, Pictures, Started, Steps

CELERY, VIPS = "5.7.0", "8.18.7"
START_SECONDS = 60.0
REQUIREMENTS = [
    f"celery[redis]=={CELERY}",
    "hiredis>=3",
    "pyvips==3.2.0",
    f"pyvips-binary=={VIPS}",
]


@contextlib.contextmanager
def start_celery(pictures_travel_by: str, how: str) -> Iterator[Started]:
    """Start Redis, a worker of a process a core, and a client.

    ``pictures_travel_by`` is "redis", or "disk" where tasks get paths.
    """
    redis = program("redis-server", "redis-server")
    programs = virtual_environment("celery", REQUIREMENTS)
    with (
        tempfile.TemporaryDirectory(prefix="dpip-celery-") as folder,
        contextlib.ExitStack() as stack,
    ):
        socket = Path(folder, "redis.sock")
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PYTHONPATH": str(Path(__file__).parent),
            "PEER_REDIS": f"redis+socket://{socket}",
            "PEER_QUALITY": str(QUALITY),
            "PEER_PNG_LEVEL": str(PNG_LEVEL),
            "VIPS_CONCURRENCY": "1",
        }
        without_disk = ["--port", "0", "--save", "", "--appendonly", "no", "--dir", folder]
        stack.enter_context(_running([redis, "--unixsocket", socket, *without_disk]))
        celery = [programs / "celery", "--app", "celery_app", "--quiet"]
        worker = ["worker", "--pool", "prefork", "--concurrency", str(CORES), "--loglevel", "ERROR"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        stack.enter_context(_running([*celery, *worker, *quiet], env=environment, cwd=folder))
        _wait_for([*celery, "inspect", "ping"], environment)
        client = stack.enter_context(
            _running(
                [programs / "python", "-m", "celery_app", pictures_travel_by],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        yield Started(
            f"Celery {CELERY}, Redis without disk by Unix socket, {CORES} processes with "
            f"pyvips-binary {VIPS}, {how}",
            lambda steps, pictures: _filter(client, steps, pictures),
        )


def _filter(client: subprocess.Popen, steps: Steps, pictures: Pictures) -> None:
    for step in steps:
        if step["filter"] not in ("grayscale", "blur", "sharpen", "thumbnail"):
            raise LeftOut(f"its tasks have no {step['filter']}")
    print(json.dumps({"steps": steps, "pictures": pictures}), file=client.stdin, flush=True)
    if not client.stdout.readline():
        raise LeftOut("its client has ended")


@contextlib.contextmanager
def _running(command: list, **options) -> Iterator[subprocess.Popen]:
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    process = subprocess.Popen(command, **options)  # nosec B603 # what was just installed
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for(command: list, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _fails(command, environment):
        if time.monotonic() > deadline:
            raise LeftOut("its worker does not start")


def _fails(command: list, environment: dict[str, str]) -> bool:
    ran = subprocess.run(  # nosec B603 # what was just installed
        command, env=environment, capture_output=True, check=False
    )
    return ran.returncode != 0
