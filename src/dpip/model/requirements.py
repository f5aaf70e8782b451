"""What a workload asks for: where its jobs may run, and how soon."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from dpip.model.worker import Tags

LOWEST_PRIORITY, HIGHEST_PRIORITY = -10, 10
MOST_WEIGHT = 100

Priority = Annotated[int, Meta(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)]
Weight = Annotated[int, Meta(ge=1, le=MOST_WEIGHT)]
"""Of two that compete, one with twice the weight gets twice as much."""


class GpuUse(StrEnum):
    """Whether a node has to have a GPU for a job."""

    NEVER = "never"
    PREFERRED = "preferred"
    REQUIRED = "required"


class Requirements(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the jobs of a workload may run, and how soon.

    A worker has to carry all ``tags``; one that carries more of ``prefer_tags`` is preferred. Among
    the workloads of one user those of higher ``priority`` go first, and those of the same share by
    ``weight``. ``deadline``, in seconds since 1970, is when all should be done: a workload that
    would miss it goes before the others of its user.
    """

    tags: Tags = ()
    prefer_tags: Tags = ()
    gpu: GpuUse = GpuUse.NEVER
    priority: Priority = 0
    weight: Weight = 1
    deadline: float | None = None


NO_REQUIREMENTS = Requirements()
