"""Work on the image store and its database from outside the system."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dpip.compose.administrator import ensure_administrator
from dpip.compose.storage import (
    has_datastore,
    open_datastore,
    shown_database,
)
from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import NotFound
from dpip.ports.datastore import Datastore

if TYPE_CHECKING:
    from dpip.controller.store_check import Checked
    from dpip.controller.store_repair import Repaired


async def adopt_store(settings: Settings) -> None:
    """Tie the image directory and the database, whatever they hold.

    Raises ``CannotStart`` while the system runs, ``NotFound`` without an image directory.
    """
    from dpip.controller import store_identity

    async with _stopped_system(settings) as (images, datastore):
        await store_identity.adopt(images, datastore)


async def check_store(settings: Settings, *, quick: bool) -> "Checked":
    """Compare image directory and database. Raises ``CannotStart`` for two that do not match."""
    from dpip.controller import store_identity
    from dpip.controller.store_check import check

    images = _images(settings)
    if not has_datastore(settings):
        raise NotFound(kind="system in", id=str(settings.data_dir))
    async with open_datastore(settings) as datastore:
        sides = await store_identity.look_at(images, datastore)
        if not sides.match:
            raise store_identity.foreign(images, shown_database(settings), sides)
        return await check(images, datastore, quick=quick)


async def repair_store(settings: Settings) -> "Repaired":
    """Put image directory and database right, and tie them.

    The database may be new. Raises ``CannotStart`` for two that do not match, and while the system
    runs; ``NotFound`` without an image directory.
    """
    from dpip.controller import store_identity
    from dpip.controller.store_repair import repair

    async with _stopped_system(settings) as (images, datastore):
        sides = await store_identity.look_at(images, datastore)
        if not sides.can_be_rebuilt:
            raise store_identity.foreign(images, shown_database(settings), sides)
        # First, so that what was the administrator's is so again.
        await ensure_administrator(datastore, settings, DataDirectory(settings.data_dir))
        repaired = await repair(images, datastore, time.time())
        await store_identity.tie(images, datastore, where=shown_database(settings))
        return repaired


def _images(settings: Settings) -> Path:
    images = DataDirectory(settings.data_dir).images
    if not images.is_dir():
        raise NotFound(kind="image directory", id=str(images))
    return images


@asynccontextmanager
async def _stopped_system(settings: Settings) -> AsyncIterator[tuple[Path, Datastore]]:
    """Have image directory and database for oneself. Raises ``CannotStart``, ``NotFound``."""
    from dpip.controller import store_identity

    images = _images(settings)
    with (
        store_identity.opened(images, alone=True),
        DataDirectory(settings.data_dir).held_by("controller"),
    ):
        async with open_datastore(settings) as datastore:
            yield images, datastore
