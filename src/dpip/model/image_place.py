"""Where an image lies below the root of the image directories, and where one that comes in does."""

import hashlib
from functools import lru_cache
from pathlib import PurePath
from urllib.parse import quote

from dpip.model.image import Image, ImageKind, PictureFormat

STAGING = ".staging"
"""The directory of what is on its way in, on the file system of all others."""

ORPHANS = ".orphans"
"""The directory of what the database does not know: below a day, each at its place."""

RESCUED = ".rescued"
"""The directory of what a repair found and could not use, each at its place; nothing removes it."""

_UNSAFE = frozenset('/\\%:*?<>|"')
_LONGEST_SEGMENT = 150
"""Bytes of a workload's name in a path; file systems allow 255 a segment."""


def place_of(image: Image) -> PurePath:
    """Return the path of ``image`` below the root."""
    return place_of_image(
        image.workload_name, image.workload_id, image.kind, image.id, image.header.format
    )


def place_of_image(
    workload_name: str,
    workload_id: str,
    kind: ImageKind,
    image_id: str,
    format: PictureFormat,  # noqa: A002
) -> PurePath:
    """Return the path of an image below the root."""
    return _directory(workload_name, workload_id, kind) / f"{image_id}{format.suffix}"


@lru_cache(maxsize=1024)
def _directory(workload_name: str, workload_id: str, kind: ImageKind) -> PurePath:
    return PurePath(directory_name(workload_name), workload_id, kind.value)


def directory_name(workload_name: str) -> str:
    """Return ``workload_name`` as one segment of a path that cannot lead anywhere else.

    What is unsafe in a path is percent-encoded, a dot at the beginning too, and a long name is
    cut: the workload's id, which follows it, tells workloads apart.
    """
    safe = "".join(_encoded(character) for character in workload_name).strip()
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    cut = safe.encode(errors="replace")[:_LONGEST_SEGMENT].decode(errors="ignore").rstrip()
    return cut or "_"


def staging_area(token: str) -> str:
    """Return the name of the directory below ``STAGING`` that is the caller's who has ``token``.

    Nobody without the token can tell it beforehand.
    """
    return hashlib.sha256(f"staging area of {token}".encode()).hexdigest()


def _encoded(character: str) -> str:
    if character.isprintable() and character not in _UNSAFE:
        return character
    return quote(character, safe="", errors="replace")
