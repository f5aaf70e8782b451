"""Workers: who they are and what they have to give."""

import re
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from dpip.errors import InvalidValue
from dpip.plain_text import PLAIN, is_plain

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

MOST_REFUSED = 3
"""A worker is quarantined when this many jobs are held against it: whose results were refused or
not had, or which it failed and another worker has done."""

FORGIVEN_AFTER = 10
"""Accepted results, with nothing held against their worker meanwhile, that make up for what is."""

MOST_SLOTS, MOST_PREFETCH = 1000, 2000
MOST_IN_HAND = 3000
"""Jobs that one worker has at once: with the names of so many, a heartbeat still is a message."""
_MOST_IN_HAND_A_SLOT = 64
MOST_GPUS = 16
MOST_TAGS, LONGEST_TAG = 16, 64

Slots = Annotated[int, Meta(ge=1, le=MOST_SLOTS)]
Prefetch = Annotated[int, Meta(ge=0, le=MOST_PREFETCH)]
Tags = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=LONGEST_TAG, pattern=PLAIN)], ...],
    Meta(max_length=MOST_TAGS),
]
Share = Annotated[float, Meta(ge=0, le=1)]
"""A part of a whole; neither infinity nor what is no number is one."""
Quantity = Annotated[int, Meta(ge=0, le=2**53)]
"""What every format and database can hold to the last digit."""


class WorkerState(StrEnum):
    """Whether a worker can be counted on. Only an administrator ends a quarantine.

    One that is paused is as alive as any other, and takes no more jobs for now.
    """

    ALIVE = "alive"
    PAUSED = "paused"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"
    QUARANTINED = "quarantined"


AT_WORK = (WorkerState.ALIVE, WorkerState.PAUSED, WorkerState.DRAINING)
"""The states of workers that are there."""


class Command(StrEnum):
    """What an administrator has told a worker, for as long as it stands."""

    PAUSE = "pause"
    DRAIN = "drain"


class Gpu(Struct, frozen=True, kw_only=True):
    """A GPU as its driver reports it: ``utilisation`` in 0 to 1, memory in bytes."""

    name: Annotated[str, Meta(max_length=96, pattern=PLAIN)]
    utilisation: Share
    memory_used: Quantity
    memory_total: Quantity


class Resources(Struct, frozen=True, kw_only=True):
    """A reading of a node: ``cpu`` is the load over all cores in 0 to 1, averaged over some
    seconds; memory is in bytes.

    ``machine`` is the same for all workers that share this node's memory and cores, empty if that
    is not known. ``processor`` is the model of its CPU: workers of one model are a class.
    ``cpu_others`` is the part of ``cpu`` that is neither the worker's and its children's nor, where
    ``dpip up`` has started it, that of any process of this system. ``memory_ours`` is what the
    worker and its children hold in memory and share with nobody: the pages of libraries, which they
    share, are the system's. Within limits of a container, its limits count.
    """

    cpu: Share
    cores: Quantity
    memory_total: Quantity
    memory_available: Quantity
    machine: Annotated[str, Meta(max_length=64, pattern=PLAIN)] = ""
    processor: Annotated[str, Meta(max_length=96, pattern=PLAIN)] = ""
    cpu_others: Share = 0.0
    memory_ours: Quantity = 0
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=MOST_GPUS)] = ()


class Worker(Struct, frozen=True, kw_only=True):
    """A worker as the datastore knows it.

    ``instance`` tells one process from the next under the same name. ``join_token`` is the id of
    the token that let it in. ``slots`` is the number of
    pictures it filters at once, ``prefetch`` how many more it takes so that the next is at hand.
    ``running`` is the number of jobs it held, and ``last_seen`` the time (seconds since 1970), at
    its last heartbeat. ``command`` is what an administrator has told it to do, and ``paused`` why
    it takes no jobs for now, in its own words, or why it is quarantined.
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
    command: Command | None = None
    paused: str | None = None


class Reading(NamedTuple):
    """What a heartbeat changes of what is known of a worker; see ``Worker``."""

    worker: str
    state: WorkerState
    resources: Resources
    running: int
    at: float
    paused: str | None = None


def most_in_hand(slots: int, prefetch: int) -> int:
    """How many jobs a worker takes at most, so that small ones can come in batches.

    How many are good for it depends on what they cost, which the scheduler goes by; this is the
    bound that the worker itself holds, and it takes one express job beyond.
    """
    return min(slots * _MOST_IN_HAND_A_SLOT + prefetch, MOST_IN_HAND - 1)


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


def check_tags(tags: Collection[str]) -> tuple[str, ...]:
    """Return ``tags`` if they can be a worker's, else raise ``InvalidValue``."""
    for tag in tags:
        if not 1 <= len(tag) <= LONGEST_TAG or not is_plain(tag):
            raise InvalidValue(
                field="tag", value=tag, allowed=f"a tag has 1 to {LONGEST_TAG} printable characters"
            )
    if len(tags) > MOST_TAGS:
        raise InvalidValue(
            field="tags", value=", ".join(tags), allowed=f"a worker has at most {MOST_TAGS} tags"
        )
    return tuple(tags)
