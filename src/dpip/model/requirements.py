"""What a workload asks for: where its jobs may run, and how soon."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from dpip.errors import InvalidValue
from dpip.model.worker import LONGEST_TAG, MOST_TAGS, Tags

LOWEST_PRIORITY, HIGHEST_PRIORITY = -10, 10
MOST_WEIGHT = 100
FURTHEST_DEADLINE = timedelta(days=3650)

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

_TAGS = (
    f"it is at most {MOST_TAGS} words of 1 to {LONGEST_TAG} printable characters, "
    "as a list or with commas between them"
)
_ALLOWED = {
    "tags": _TAGS,
    "prefer_tags": _TAGS,
    "gpu": f"it is one of {', '.join(GpuUse)}",
    "priority": f"it is a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}",
    "weight": f"it is a whole number from 1 to {MOST_WEIGHT}",
    "deadline": "it is a time with its offset from UTC (RFC 3339), such as 2030-01-31T18:00:00Z",
}
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Requirements)}


def read_requirements(given: Mapping[str, object], *, now: float) -> Requirements:
    """Read fields as JSON or a form has them: numbers may be text, tags a text with commas, and the
    deadline is a time as in RFC 3339.

    Raises ``InvalidValue``, also for a deadline that has passed ``now`` or is years away.
    """
    return Requirements(**{name: _read(name, value, now) for name, value in given.items()})


def _read(name: str, value: object, now: float) -> Any:
    try:
        if name == "deadline":
            return _deadline(value, now)
        if name in ("tags", "prefer_tags"):
            return _tags(value)
        return msgspec.convert(value, _TYPES[name], strict=False)
    except msgspec.ValidationError as error:
        raise InvalidValue(field=name, value=value, allowed=_ALLOWED[name]) from error


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str):  # Of a form, where nothing between commas is no tag.
        value = [tag for tag in value.split(",") if tag.strip()]
    bare = tuple(dict.fromkeys(tag.strip() for tag in msgspec.convert(value, tuple[str, ...])))
    return msgspec.convert(bare, Tags)


def _deadline(value: object, now: float) -> float:
    at: float = msgspec.convert(value, Annotated[datetime, Meta(tz=True)]).timestamp()
    if not now < at <= now + FURTHEST_DEADLINE.total_seconds():
        raise InvalidValue(
            field="deadline",
            value=value,
            allowed=f"it is still to come, and within {FURTHEST_DEADLINE.days} days",
        )
    return at
