"""Puts image directories and database right, without removing a picture.

A file without a row gets one: in its workload, or in one that is made again from what lies beside
it. A row without its file says so: the job of a lost result is done again, that of a lost original
has failed. What cannot be used, because it is damaged or nothing tells where it belongs, is moved
to ``.rescued``, where nothing removes it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from dpip.controller.store_check import (
    Checked,
    Finding,
    Wrong,
    check,
    orphans,
    sha256_of,
)
from dpip.controller.workload_notes import Source, description_in, sources_in
from dpip.errors import UnsupportedPicture
from dpip.formats import read_header
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind
from dpip.model.image_place import RESCUED
from dpip.model.job import Failure, FailureCode
from dpip.model.workload import Workload
from dpip.ports.datastore import Datastore

_LOST = Failure(
    code=FailureCode.ORIGINAL_UNAVAILABLE,
    reason="The file of the original was lost or damaged when the store was repaired.",
)


class Repaired(Struct, kw_only=True):
    """How many of each there were, and what is wrong still."""

    brought_back: int = 0
    """Files moved back from ``.orphans``."""
    workloads: int = 0
    """Workloads made again."""
    originals: int = 0
    """Originals that have rows again."""
    results: int = 0
    """Results that have rows again."""
    again: int = 0
    """Jobs that are done again because their results are lost."""
    failed: int = 0
    """Jobs that have failed because their originals are lost."""
    rescued: list[Path]
    """Where files lie that could not be used."""
    left: list[Finding]
    """Originals that are lost while what came of them is there."""


async def repair(root: Path, datastore: Datastore, now: float) -> Repaired:
    """Put right what ``check`` finds. Nobody else may work on either side.

    Raises ``StorageUnavailable`` or ``StorageFull``; then it is to be done again.
    """
    return await _Repair(root, datastore, now).run()


class _Repair:
    def __init__(self, root: Path, datastore: Datastore, now: float) -> None:
        self._root = root
        self._datastore = datastore
        self._now = now
        self._done = Repaired(rescued=[], left=[])

    async def run(self) -> Repaired:
        await self._bring_back()
        found = await check(self._root, self._datastore)
        await self._put_rows_right(found)
        # A damaged result has made room for one that was kept beside it.
        without_row = [each.path for each in found.findings if each.wrong is Wrong.WITHOUT_ROW]
        by_directory = defaultdict(list)
        for path in without_row:
            by_directory[path.parents[1]].append(path)
        for directory, files in by_directory.items():
            await self._add_rows(directory, files)
        return self._done

    async def _bring_back(self) -> None:
        """Move what sweeps have set aside to its place, if that is free."""
        for path in await asyncio.to_thread(orphans, self._root):
            workload_id = path.parents[1].name
            if not await self._datastore.removed_workloads(workload_id):
                place = self._root.joinpath(*path.parts[-4:])
                self._done.brought_back += await asyncio.to_thread(_move, path, place)

    async def _put_rows_right(self, found: Checked) -> None:
        with_rows = [(each, each.image) for each in found.findings if each.image]
        for finding, image in with_rows:
            if finding.wrong is not Wrong.MISSING:
                await self._rescue(finding.path)
            if image.kind is ImageKind.FILTERED:
                await self._datastore.forget_lost_result(image)
                self._done.again += 1
        # Last, because only a job without a result can fail.
        for finding, image in with_rows:
            if image.kind is ImageKind.ORIGINAL:
                if await self._datastore.fail_without_original(image, _LOST, self._now):
                    self._done.failed += 1
                else:
                    self._done.left.append(finding)

    async def _add_rows(self, directory: Path, files: Sequence[Path]) -> None:
        workload = await self._workload(directory)
        sources = await asyncio.to_thread(sources_in, directory)
        # Originals first: their results need them.
        for path in sorted(files, key=lambda path: path.parent.name != ImageKind.ORIGINAL.value):
            image = (
                await asyncio.to_thread(_image_in, path, workload, sources) if workload else None
            )
            if image is None or not await self._add_row(image):
                await self._rescue(path)

    async def _add_row(self, image: Image) -> bool:
        if image.kind is ImageKind.ORIGINAL:
            await self._datastore.add_original(image, new_id())
            self._done.originals += 1
            return True
        is_used = await self._datastore.add_found_result(image)
        self._done.results += is_used
        return is_used

    async def _workload(self, directory: Path) -> Workload | None:
        """The workload in ``directory``, made again if it is lost and described."""
        if known := await self._datastore.workload(directory.name):
            return known
        description = await asyncio.to_thread(description_in, directory)
        if description is None or description.id != directory.name:
            return None
        owner = await self._datastore.user_named(description.owner) if description.owner else None
        workload = Workload(
            id=description.id,
            name=description.name,
            owner_id=owner.id if owner else description.owner_id,
            pipeline=description.pipeline.encode(),
            created_at=description.created_at,
            requirements=description.requirements,
        )
        await self._datastore.add_workload(workload)
        self._done.workloads += 1
        return workload

    async def _rescue(self, path: Path) -> None:
        place = self._root / RESCUED / path.relative_to(self._root)
        if await asyncio.to_thread(_move, path, place):
            self._done.rescued.append(place)


def _move(path: Path, place: Path) -> bool:
    """Move a file, unless there is one already; whether it was moved."""
    if place.exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    return True


def _image_in(path: Path, workload: Workload, sources: dict[str, Source]) -> Image | None:
    """The image in the file, if it is one, and it is known what it was made from."""
    kind = ImageKind(path.parent.name)
    source = sources.get(path.stem)
    if kind is ImageKind.FILTERED and source is None:
        return None
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            header = read_header(file)
    except UnsupportedPicture:
        return None
    if header.format.suffix != path.suffix:
        return None
    seen = path.stat()
    return Image(
        id=path.stem,
        workload_id=workload.id,
        workload_name=workload.name,
        owner_id=workload.owner_id,
        kind=kind,
        header=header,
        size=seen.st_size,
        sha256=sha256_of(path),
        created_at=seen.st_mtime,
        source_id=source.original_id if source else None,
        notes=source.notes if source else (),
    )
