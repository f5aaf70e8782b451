"""What a measurement was made on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil
from msgspec import Struct

from dpip import __version__
from dpip.worker.machine import usable_cores

_MODEL = "model name"


class Machine(Struct, frozen=True, kw_only=True):
    """The machine, when it was looked at, and how busy it was with other things (load average).

    ``cores`` are those that this process may use.
    """

    at: str
    cores: int
    architecture: str
    processor: str
    memory_bytes: int
    kernel: str
    python: str
    dpip: str
    load: float


def this_machine() -> Machine:
    """Look at the machine that this runs on."""
    return Machine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=usable_cores(),
        architecture=platform.machine(),
        processor=_processor(),
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        dpip=__version__,
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith(_MODEL)]
    return models[0] if models else platform.processor()
