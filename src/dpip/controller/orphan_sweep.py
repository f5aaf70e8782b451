"""Removes what a crash has left among the images: files and directories that no row tells of.

No clock decides what is old enough. Whoever keeps an image holds a lock on its file until the row
is committed or refused, and loses it by dying: what is not locked and not recorded stays so.
"""

import asyncio
import fcntl
import glob
from contextlib import suppress
from pathlib import Path

import structlog

from dpip.ports.datastore import Workloads

log = structlog.get_logger()

_BATCH = 500
_ID = "[0-9a-z]" * 26
_WORKLOADS = f"[!.]*/{_ID}"
_IMAGES = f"*/{_ID}.*"


async def sweep_orphans(root: Path, workloads: Workloads) -> int:
    """Remove what lies below ``root`` and is not recorded; how many images went.

    Of files, those that nobody is about to record; of directories, the empty ones of workloads
    that are gone. Raises ``StorageFull`` or ``StorageUnavailable`` if ``workloads`` does.
    """
    swept = 0
    for directory in await _below(root, _WORKLOADS):
        files = await _below(directory, _IMAGES)
        for start in range(0, len(files), _BATCH):
            swept += await _sweep_files(files[start : start + _BATCH], workloads)
        # One that is known and empty stays: it is remembered as durable.
        if not await _below(directory, _IMAGES) and not await workloads.workload(directory.name):
            _remove_empty(directory)
    if swept:
        log.info("images removed that nothing tells of", images=swept)
    return swept


async def _sweep_files(files: list[Path], workloads: Workloads) -> int:
    recorded = await workloads.recorded_images([file.stem for file in files])
    unknown = [file for file in files if file.stem not in recorded]
    return sum([await _remove_orphan(file, workloads) for file in unknown])


async def _remove_orphan(path: Path, workloads: Workloads) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been recorded, and let go of, since it was asked for.
            if await workloads.recorded_images([path.stem]):
                return False
            await asyncio.to_thread(path.unlink)
            return True
    except (BlockingIOError, FileNotFoundError):  # About to be recorded, or removed by another.
        return False
    except OSError as error:
        log.warning("image that nothing tells of not removed", path=str(path), reason=str(error))
        return False


def _remove_empty(directory: Path) -> None:
    for empty in (*directory.glob("*"), directory):
        with suppress(OSError):
            empty.rmdir()


async def _below(directory: Path, pattern: str) -> list[Path]:
    names = await asyncio.to_thread(glob.glob, pattern, root_dir=directory)
    return [directory / name for name in names]
