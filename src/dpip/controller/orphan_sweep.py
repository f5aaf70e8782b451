"""Puts aside what no row tells of among the images: what a crash has left, or a lost row.

No clock decides what is old enough. Whoever keeps an image holds a lock on its file until the row
is committed or refused, and loses it by dying: what is not locked and not recorded stays so.

A crash leaves few files: those that were on their way in. Many files without rows mean that rows
were lost, and then nothing is touched.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import structlog

from dpip.controller.image_tree import image_files, is_held, workload_directories
from dpip.model.image_place import ORPHANS
from dpip.ports.datastore import Workloads

log = structlog.get_logger()

_BATCH = 500
_SHARE = 0.05
_FEW = 20
_SECONDS_A_DAY = 86_400


async def sweep_orphans(root: Path, workloads: Workloads, now: float) -> int:
    """Move the images below ``root`` that are not recorded to ``.orphans``; how many.

    None of them, if they are more than ``_FEW`` and more than ``_SHARE`` of all, or more than half
    of all. Empty directories of workloads that are gone are removed. Raises ``StorageFull`` or
    ``StorageUnavailable`` if ``workloads`` does.
    """
    orphans: list[Path] = []
    images = 0
    for directory in await asyncio.to_thread(workload_directories, root):
        files = await asyncio.to_thread(image_files, directory)
        images += len(files)
        for start in range(0, len(files), _BATCH):
            orphans += await unrecorded(files[start : start + _BATCH], workloads)
        if not files:
            await _remove_if_gone(directory, workloads)
    if len(orphans) > min(max(_FEW, _SHARE * images), images / 2):
        log.warning(
            "too many images without a row to be what a crash has left; none was moved: stop the "
            "system and run 'dpip store check'",
            without_row=len(orphans),
            images=images,
        )
        return 0
    moved = sum([await asyncio.to_thread(set_aside, root, path, now) for path in orphans])
    for directory in {path.parents[1] for path in orphans}:
        await _remove_if_gone(directory, workloads)
    if moved:
        log.warning(
            "images without a row moved aside; 'dpip store check --repair' brings them back",
            moved=moved,
            images=images,
            to=str(root / ORPHANS / _day(now)),
        )
    return moved


async def unrecorded(files: Sequence[Path], workloads: Workloads) -> list[Path]:
    """Those of ``files`` whose images are not recorded, never will be, and are not to go anyway."""
    unknown = await _without_row(files, workloads)
    loose = await asyncio.to_thread(lambda: [path for path in unknown if _is_loose(path)])
    # One may have been recorded, and let go of, since it was asked for.
    lasting = await _without_row(loose, workloads)
    if not lasting:
        return []
    removed = {workload.id for workload in await workloads.removed_workloads()}
    removed |= {image.id for image in await workloads.removed_images()}
    return [
        path
        for path in lasting
        if path.exists() and removed.isdisjoint((path.stem, path.parents[1].name))
    ]


def set_aside(root: Path, path: Path, now: float) -> bool:
    """Move an image to the orphans of the day; whether that was done."""
    target = root / ORPHANS / _day(now) / path.relative_to(root)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except FileNotFoundError:  # Moved by another process.
        return False
    except OSError as error:
        log.warning("image without a row not moved", path=str(path), reason=str(error))
        return False
    return True


def remove_expired_orphans(root: Path, now: float, days: float) -> None:
    """Remove what was moved aside more than ``days`` days before ``now``."""
    for directory in (root / ORPHANS).glob("????-??-??"):
        try:
            moved_until = datetime.fromisoformat(f"{directory.name}T00:00Z").timestamp()
        except ValueError:  # Not one of ours.
            continue
        if moved_until + (1 + days) * _SECONDS_A_DAY <= now:
            rmtree(directory)
            log.info("orphaned images removed", moved_on=directory.name)


async def _without_row(files: Sequence[Path], workloads: Workloads) -> list[Path]:
    if not files:
        return []
    recorded = await workloads.recorded_images([file.stem for file in files])
    return [file for file in files if file.stem not in recorded]


def _is_loose(path: Path) -> bool:
    try:
        return not is_held(path)
    except FileNotFoundError:  # Removed by another process.
        return False
    except OSError as error:
        log.warning("image without a row not moved", path=str(path), reason=str(error))
        return False


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()


async def _remove_if_gone(directory: Path, workloads: Workloads) -> None:
    # One that is known and empty stays: it is remembered as durable.
    if await workloads.workload(directory.name):
        return
    for empty in (*directory.glob("*"), directory):
        with suppress(OSError):
            empty.rmdir()
