"""What is known of the machine once and for all, as far as this process may use it."""

import hashlib
import math
import platform
import re
from pathlib import Path

from dpip.plain_text import plain
from dpip.worker.control_groups import ControlGroups
from dpip.worker.cpu_meter import usable_cpus

_LONGEST_MODEL = 96


def usable_cores(groups: ControlGroups | None = None) -> int:
    """How many CPUs it can keep busy: a limit of 1.5 makes 2."""
    limit = (groups or ControlGroups()).cpu_limit()
    cpus = len(usable_cpus())
    return max(1, min(cpus, math.ceil(limit.cpus) if limit else cpus))


def machine_id(groups: ControlGroups) -> str:
    """Return what is the same for all processes that share this one's memory, and no others.

    It is made of the kernel's id of its start and, where memory is limited, the innermost group
    whose it is: so containers without limits are one machine, and each with limits is its own.
    """
    limits = groups.memory_limits()
    known = f"{_boot_id()} {limits[0].group if limits else ''}"
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def processor_model() -> str:
    """Return the model of the CPU as it calls itself, else its architecture."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    model = found[1].strip() if found else platform.processor() or platform.machine()
    return plain(model)[:_LONGEST_MODEL]


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()
