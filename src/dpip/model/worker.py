"""Workers: who they are and what they have to give."""

import re
from enum import StrEnum

from msgspec import Struct

from dpip.errors import InvalidValue

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


MOST_REFUSED = 3
"""A worker is quarantined when results of this many jobs were refused in a row."""


class WorkerState(StrEnum):
    """Whether a worker can be counted on. Only an administrator ends a quarantine."""

    ALIVE = "alive"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"
    QUARANTINED = "quarantined"


class Gpu(Struct, frozen=True, kw_only=True):
    """A GPU as its driver reports it: ``utilisation`` in 0 to 1, memory in bytes."""

    name: str
    utilisation: float
    memory_used: int
    memory_total: int


class Resources(Struct, frozen=True, kw_only=True):
    """A reading of a node: ``cpu`` is the load over all cores in 0 to 1, memory is in bytes."""

    cpu: float
    cores: int
    memory_total: int
    memory_available: int
    gpus: tuple[Gpu, ...] = ()


class Worker(Struct, frozen=True, kw_only=True):
    """A worker as the datastore knows it.

    ``instance`` tells one process from the next under the same name. ``join_token`` is the id of
    the token that let it in. ``slots`` is the number of
    pictures it filters at once, ``prefetch`` how many more it takes so that the next is at hand.
    ``running`` is the number of jobs it held, and ``last_seen`` the time (seconds since 1970), at
    its last heartbeat.
    """

    name: str
    instance: str
    tags: tuple[str, ...]
    slots: int
    prefetch: int
    state: WorkerState
    resources: Resources
    running: int
    joined_at: float
    last_seen: float
    join_token: str | None = None


def is_worker_name(name: str) -> bool:
    """Whether ``name`` can be a worker's; see ``check_worker_name``."""
    return _NAME.fullmatch(name) is not None


def check_worker_name(name: str) -> str:
    """Return ``name`` if it can be a worker's, else raise ``InvalidValue``.

    A name is one token of a NATS subject, so it has no dot, space or wildcard.
    """
    if not is_worker_name(name):
        raise InvalidValue(
            field="worker name",
            value=name,
            allowed="1 to 64 letters, digits, '-' and '_'",
        )
    return name
