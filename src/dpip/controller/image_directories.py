"""The image store in directories: one for every workload, originals apart from results."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from dpip.controller.image_reader import ImageReader
from dpip.controller.image_tree import workload_directories
from dpip.controller.medium import explained, in_thread
from dpip.controller.orphan_sweep import remove_expired_orphans, sweep_orphans
from dpip.controller.staging import (
    StagingFile,
    adopt,
    create_locked,
    has_area,
    remove_leftovers,
    remove_tree,
    sync_directory,
)
from dpip.controller.workload_notes import (
    Description,
    Source,
    describe,
    is_described,
    note_result,
)
from dpip.errors import NotFound
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind
from dpip.model.image_place import STAGING, directory_name, place_of
from dpip.model.workload import Workload
from dpip.plain_files import opened_directory
from dpip.ports.datastore import Workloads
from dpip.ports.image_store import StagedFile
from dpip.together import Together, for_each

_TRIES = 10
_MOST_REMEMBERED = 10_000
"""Directories that are known to be durable."""


class ImageDirectories:
    """Keeps images in ``<root>/<workload name>/<workload id>/original|filtered/``.

    Bytes come in under ``<root>/.staging/`` on the same file system, so that keeping them is a
    rename. A staged file is locked by the process that writes it; what a dead process left there
    is swept. The lock stays on the file when it is kept, until it is discarded: what is locked is
    about to be recorded. A staging area is a directory there, locked by the process that made it.
    """

    def __init__(self, root: Path, *, orphan_days: float = 7.0) -> None:
        self._root = root
        self._orphan_days = orphan_days
        self._staging = root / STAGING
        self._durable: set[Path] = set()
        self._adopting = Together(for_each(self._adopt))
        self._keeping = Together(self._keep_all)
        with explained():
            self._staging.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._staging)

    async def stage(self) -> StagingFile:
        """Begin to take bytes in."""
        return await in_thread(self._stage)

    async def sees_area(self, area: str) -> bool:
        """Whether there is a staging area of this name, as the port promises."""
        return await in_thread(has_area, self._staging / area)

    async def adopt(self, area: str, name: str, limit: int) -> StagingFile:
        """Take over what another process has staged, as the port promises."""
        with explained():
            return await self._adopting.do((area, name, limit))

    async def keep(self, staged: StagedFile, image: Image) -> None:
        """Move ``staged`` to its place and make it durable, as the port promises."""
        assert isinstance(staged, StagingFile)  # noqa: S101  # nosec B101 # for the type checker
        with explained():
            await self._keeping.do((staged, image))

    async def read(
        self, image: Image, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes]:
        """Iterate over bytes of ``image``, as the port promises."""
        wanted = image.size - start if length is None else length
        place = place_of(image)
        reader = await in_thread(ImageReader, self._root, place, image, start, wanted)
        try:
            while reader.left:
                yield await in_thread(reader.read)
        finally:
            reader.close()

    async def remove(self, image: Image) -> None:
        """Forget the bytes of ``image``."""
        await in_thread(self.path(image).unlink, True)

    async def describe(
        self, workload: Workload, owner: str | None, results: Sequence[Image] = ()
    ) -> None:
        """Write down what ``workload`` is, as the port promises."""
        sources = [Source(each.id, each.source_id or "", each.notes) for each in results]
        directory = self._directory(workload.name, workload.id)
        await in_thread(describe, directory, Description.of(workload, owner), sources)

    async def undescribed(self) -> list[str]:
        """Ids of workloads whose directories have no description."""
        directories = await in_thread(workload_directories, self._root)
        return [each.name for each in directories if not is_described(each)]

    async def remove_workload(self, name: str, workload_id: str) -> None:
        """Forget the bytes of all images of a workload, as the port promises."""
        await in_thread(self._remove_workload, name, workload_id)

    async def sweep(self, workloads: Workloads) -> int:
        """Move aside what ``workloads`` does not know, as the port promises."""
        now = time.time()
        await in_thread(remove_leftovers, self._staging)
        await in_thread(remove_expired_orphans, self._root, now, self._orphan_days)
        with explained():
            return await sweep_orphans(self._root, workloads, now)

    def path(self, image: Image) -> Path:
        """Where the bytes of ``image`` lie."""
        return self._root / place_of(image)

    def _stage(self) -> StagingFile:
        self._staging.mkdir(parents=True, exist_ok=True)  # Somebody may have tidied up.
        path = self._staging / new_id()
        return StagingFile(path, create_locked(path))

    def _adopt(self, what: tuple[str, str, int]) -> StagingFile:
        area, name, limit = what
        try:
            return adopt(self._staging / area, name, self._staging / new_id(), limit)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(kind="staged file", id=name) from error

    def _remove_workload(self, name: str, workload_id: str) -> None:
        directory = self._directory(name, workload_id)
        for kind in ImageKind:
            self._durable.discard(directory / kind.value)
        self._staging.mkdir(parents=True, exist_ok=True)
        # Moved away first, in one piece: uploads that are under way may change what is in it. What
        # lies here and is held by nobody goes, should this process end before the next line.
        leaving = self._staging / new_id()
        with suppress(FileNotFoundError):
            directory.rename(leaving)
            remove_tree(leaving)

    def _directory(self, name: str, workload_id: str) -> Path:
        return self._root / directory_name(name) / workload_id

    def _keep_all(self, wanted: Sequence[tuple[StagingFile, Image]]) -> list[Exception | None]:
        """Move all to their places; each directory is made durable once for all that is in it."""
        moved = for_each(self._move)(wanted)
        directories = {place_of(image).parent for _, image in wanted}
        # Asked once only: a kernel tells of a write that failed no second time.
        made = dict(zip(directories, for_each(self._make_durable)([*directories]), strict=True))

        def settle(what: tuple[StagingFile, Image], failed: Exception | None) -> Exception | None:
            staged, image = what
            if failed is None and (failed := made[place_of(image).parent]):
                self.path(image).unlink(missing_ok=True)  # What may not last is not kept.
                if isinstance(failed, FileNotFoundError):
                    failed = NotFound(kind="workload", id=image.workload_id)
            staged.kept = failed is None
            return failed

        return list(map(settle, wanted, moved))

    def _move(self, what: tuple[StagingFile, Image]) -> None:
        staged, image = what
        place = place_of(image)
        for left in reversed(range(_TRIES)):
            try:
                with opened_directory(self._root, place.parent, make=True) as directory:
                    if image.kind is ImageKind.FILTERED:
                        note_result(self._root / place.parents[1], image)
                    return staged.move_to(place.name, directory)
            except FileNotFoundError:  # Another upload has found the workload removed just now.
                if not left:
                    raise

    def _make_durable(self, place: PurePath) -> None:
        # The first time here: another upload may have made the directories a moment ago, and not
        # have got as far as to make them durable.
        directory = self._root / place
        above = () if directory in self._durable else directory.parents
        for each in (directory, *above):
            if each.is_relative_to(self._root):
                sync_directory(each)
        if len(self._durable) >= _MOST_REMEMBERED:
            self._durable.clear()
        self._durable.add(directory)
