"""Compares the image directories with the database: rows, files, sizes, hashes.

What is on its way in, or is removed meanwhile, is no finding: the system may run.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from dpip.controller.image_tree import image_files, workload_directories
from dpip.controller.orphan_sweep import unrecorded
from dpip.errors import StorageUnavailable
from dpip.model.image import Image, ImageKind
from dpip.model.image_place import ORPHANS, place_of
from dpip.model.job import FailureCode
from dpip.ports.datastore import Datastore

_BATCH = 500


class Wrong(StrEnum):
    """What may be wrong with an image. Stable: programs may compare them."""

    MISSING = "missing"
    WRONG_SIZE = "wrong_size"
    WRONG_HASH = "wrong_hash"
    WITHOUT_ROW = "without_row"


class Finding(Struct, frozen=True, kw_only=True):
    """Something wrong: at which path, and of which row, if there is one."""

    wrong: Wrong
    path: Path
    image: Image | None = None


class Checked(Struct, kw_only=True):
    """How many rows and files were looked at, and what was found.

    ``set_aside`` are files that sweeps have moved to ``.orphans``.
    """

    rows: int = 0
    files: int = 0
    set_aside: int = 0
    findings: list[Finding]


async def check(root: Path, datastore: Datastore, *, quick: bool = False) -> Checked:
    """Look at every row and every file; if ``quick``, not at the bytes.

    Raises ``StorageUnavailable`` or ``StorageFull`` if ``datastore`` does.
    """
    checked = Checked(findings=[])
    async for images in pages(datastore):
        checked.rows += len(images)
        wrong = await asyncio.to_thread(_wrong_ones, root, images, quick)
        checked.findings += [each for each in wrong if await _is_known(each, datastore)]
    for directory in await asyncio.to_thread(workload_directories, root):
        files = await asyncio.to_thread(image_files, directory)
        checked.files += len(files)
        for start in range(0, len(files), _BATCH):
            checked.findings += [
                Finding(wrong=Wrong.WITHOUT_ROW, path=path)
                for path in await unrecorded(files[start : start + _BATCH], datastore)
            ]
    checked.set_aside = len(await asyncio.to_thread(orphans, root))
    return checked


async def pages(datastore: Datastore) -> AsyncIterator[list[Image]]:
    """All images by id, some at a time."""
    last = ""
    while images := await datastore.images_after(last, limit=_BATCH):
        yield images
        last = images[-1].id


def orphans(root: Path) -> list[Path]:
    """The files that sweeps have moved aside, oldest day first."""
    days = sorted((root / ORPHANS).glob("????-??-??"))
    return [
        path
        for day in days
        for directory in workload_directories(day)
        for path in image_files(directory)
    ]


def _wrong_ones(root: Path, images: Sequence[Image], quick: bool) -> list[Finding]:
    looked_at = ((root / place_of(image), image) for image in images)
    return [
        Finding(wrong=wrong, path=path, image=image)
        for path, image in looked_at
        if (wrong := _what_is_wrong(path, image, quick))
    ]


def _what_is_wrong(path: Path, image: Image, quick: bool) -> Wrong | None:
    try:
        seen = path.lstat()
        if not stat.S_ISREG(seen.st_mode):
            return Wrong.MISSING
        if seen.st_size != image.size:
            return Wrong.WRONG_SIZE
        return None if quick or sha256_of(path) == image.sha256 else Wrong.WRONG_HASH
    except (FileNotFoundError, NotADirectoryError):
        return Wrong.MISSING
    except OSError as error:  # Of the medium or of a right: it says nothing about the picture.
        raise StorageUnavailable(
            storage="image store", reason=f"{path} cannot be read: {error.strerror}"
        ) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits; a link is not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _is_known(finding: Finding, datastore: Datastore) -> bool:
    """Whether the row is there still, and does not say itself that its picture is lost."""
    assert finding.image  # noqa: S101  # nosec B101 # for the type checker
    if await datastore.image(finding.image.id) is None:
        return False
    if finding.wrong is not Wrong.MISSING or finding.image.kind is not ImageKind.ORIGINAL:
        return True
    job = await datastore.job_of_image(finding.image.id)
    is_said = job and job.failure and job.failure.code is FailureCode.ORIGINAL_UNAVAILABLE
    return not is_said
