"""What lies beside the images of a workload, so that its rows can be made again from the files.

``.workload.json`` describes the workload. Each line of ``.results`` has the id of a result, that of
its original, and the notes on the result. A line is written before its result is in its place.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip.controller.staging import sync_directory
from dpip.errors import InvalidValue
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.note import notes_as_text, notes_in_text
from dpip.model.requirements import Requirements
from dpip.model.workload import Workload

_DESCRIPTION = ".workload.json"
_RESULTS = ".results"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Description(Struct, frozen=True, kw_only=True):
    """A workload as it was asked for; ``owner`` is the name of a user who may be gone."""

    id: str
    name: str
    owner_id: str
    owner: str | None
    pipeline: str
    created_at: float
    requirements: Requirements

    @classmethod
    def of(cls, workload: Workload, owner: str | None) -> "Description":
        """Describe ``workload``."""
        return cls(
            id=workload.id,
            name=workload.name,
            owner_id=workload.owner_id,
            owner=owner,
            pipeline=workload.pipeline.decode(),
            created_at=workload.created_at,
            requirements=workload.requirements,
        )


class Source(Struct, frozen=True):
    """What a result was made from."""

    result_id: str
    original_id: str
    notes: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Description)


def is_described(directory: Path) -> bool:
    """Whether the workload in ``directory`` is described."""
    return (directory / _DESCRIPTION).exists()


def describe(directory: Path, description: Description, sources: Iterable[Source]) -> None:
    """Write the description and what its results, if there are any yet, were made from."""
    directory.mkdir(parents=True, exist_ok=True)
    _append(directory, sources)
    fresh = directory / f"{_DESCRIPTION}.{new_id()}"
    with fresh.open("xb") as file:
        file.write(msgspec.json.encode(description))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / _DESCRIPTION)
    sync_directory(directory)


def note_result(directory: Path, result: Image) -> None:
    """Write down what ``result`` was made from."""
    _append(directory, [Source(result.id, result.source_id or "", result.notes)])


def description_in(directory: Path) -> Description | None:
    """The description of the workload in ``directory``, if it can be read."""
    try:
        return _decoder.decode((directory / _DESCRIPTION).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def sources_in(directory: Path) -> dict[str, Source]:
    """What is known of the sources of results in ``directory``, by the results' ids."""
    try:
        lines = (directory / _RESULTS).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        # A crash may have cut it, or another process have written into it.
        with suppress(ValueError, InvalidValue):
            result_id, original_id, notes = line.split(" ")
            found[result_id] = Source(result_id, original_id, notes_in_text(notes))
    return found


def _append(directory: Path, sources: Iterable[Source]) -> None:
    lines = "".join(
        f"{each.result_id} {each.original_id} {notes_as_text(each.notes)}\n" for each in sources
    )
    if lines:
        descriptor = os.open(directory / _RESULTS, _APPEND, 0o666)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(lines.encode())
