"""Ties an image store to its database by an id that both keep.

Without it, a new or emptied database would take all pictures for what a crash has left. Either side
may be without its id: a new one, one of an earlier version, or one whose start ended between the
two writes. Such a pair is tied by what it holds: nothing at all, or mostly the same workloads.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from dpip.controller.image_tree import workloads_with_files
from dpip.controller.staging import sync_directory
from dpip.errors import CannotStart
from dpip.model.ids import is_id, new_id
from dpip.ports.datastore import StoreTie

_ID_FILE = ".store"
_LOCK_FILE = ".lock"


class Sides(Struct, frozen=True, kw_only=True):
    """An image store and a database: their ids, and the workloads of which each has images."""

    store_id: str | None
    known_id: str | None
    with_files: frozenset[str]
    with_rows: frozenset[str]

    @property
    def are_tied(self) -> bool:
        """Whether they have one id."""
        return self.store_id is not None and self.store_id == self.known_id

    @property
    def match(self) -> bool:
        """Whether they may be tied without asking: no two ids, and mostly the same workloads."""
        if self.store_id and self.known_id:
            return self.are_tied
        shared = len(self.with_files & self.with_rows)
        return 2 * shared >= max(len(self.with_files), len(self.with_rows))

    @property
    def can_be_rebuilt(self) -> bool:
        """Whether the database may be one that has lost rows of images that are there."""
        return self.match or (self.known_id is None and self.with_rows <= self.with_files)


async def tie(images: Path, database: StoreTie, *, where: str) -> None:
    """Make sure that ``images`` and ``database``, which is found at ``where``, belong together.

    Processes may do it at the same time. Raises ``CannotStart`` for two that do not.
    """
    if await _is_tied(images, database):
        return
    sides = await look_at(images, database)
    if not sides.match:
        # Another process may have tied them meanwhile, and taken pictures in.
        if await _is_tied(images, database):
            return
        raise foreign(images, where, sides)
    kept = await asyncio.to_thread(_keep_id, images, sides.store_id or sides.known_id or new_id())
    if await database.tie_store(kept) != kept:
        raise foreign(images, where, await look_at(images, database))


async def adopt(images: Path, database: StoreTie) -> None:
    """Tie ``images`` and ``database`` by a new id, so that no former partner of either fits."""
    fresh = new_id()
    await asyncio.to_thread(_replace_id, images, fresh)
    await database.tie_store(fresh, anew=True)


async def look_at(images: Path, database: StoreTie) -> Sides:
    """Return what both sides have."""
    return Sides(
        store_id=_id_of(images),
        known_id=await database.store_id(),
        with_files=await asyncio.to_thread(lambda: frozenset(workloads_with_files(images))),
        with_rows=frozenset(await database.workloads_with_images()),
    )


@contextmanager
def opened(images: Path, *, alone: bool = False) -> Iterator[None]:
    """Work on the image store beside others that do or, if ``alone``, beside nobody.

    Raises ``CannotStart`` if that cannot be.
    """
    images.mkdir(parents=True, exist_ok=True)
    with (images / _LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(
                part="This command" if alone else "The API",
                reason=f"an API works on {images}; stop the system first"
                if alone
                else f"'dpip store' works on {images}; wait until it has ended",
            ) from error
        yield


async def _is_tied(images: Path, database: StoreTie) -> bool:
    kept = _id_of(images)
    return kept is not None and kept == await database.store_id()


def _id_of(images: Path) -> str | None:
    file = images / _ID_FILE
    try:
        kept = file.read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    if not is_id(kept):
        raise CannotStart(
            part="DPIP",
            reason=f"{file} is damaged: it holds no store id; if the pictures in {images} belong "
            "to the database, say so with 'dpip store adopt'",
        )
    return kept


def _keep_id(images: Path, store_id: str) -> str:
    """Keep ``store_id`` unless there is an id already; the id that is kept."""
    fresh = _written(images, store_id)
    try:
        os.link(fresh, images / _ID_FILE)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    sync_directory(images)
    return _id_of(images) or store_id


def _replace_id(images: Path, store_id: str) -> None:
    _written(images, store_id).replace(images / _ID_FILE)
    sync_directory(images)


def _written(images: Path, store_id: str) -> Path:
    path = images / f"{_ID_FILE}.{new_id()}"
    with path.open("x") as file:
        file.write(f"{store_id}\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def foreign(images: Path, where: str, sides: Sides) -> CannotStart:
    """What a start is refused with."""
    return CannotStart(
        part="DPIP",
        reason=f"the image directory {images} (store id {sides.store_id or 'none'}, workloads "
        f"with pictures: {len(sides.with_files)}) and the database {where} (store id "
        f"{sides.known_id or 'none'}, workloads with pictures: {len(sides.with_rows)}) do not "
        "belong together. If one of them is the wrong one, name the right one with --data-dir or "
        "database_url; if the database is lost, rebuild it with 'dpip store check --repair'; if "
        "you are sure that they belong together, say so with 'dpip store adopt'",
    )
