"""Work on the image store and its database while no API does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dpip.compose.storage import open_datastore
from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import NotFound
from dpip.ports.datastore import Datastore


async def adopt_store(settings: Settings) -> None:
    """Tie the image directory and the database, whatever they hold."""
    from dpip.controller import store_identity

    async with _stopped_system(settings) as (images, datastore):
        await store_identity.adopt(images, datastore)


@asynccontextmanager
async def _stopped_system(settings: Settings) -> AsyncIterator[tuple[Path, Datastore]]:
    """Have image directory and database for oneself. Raises ``CannotStart``, ``NotFound``."""
    from dpip.controller import store_identity

    data = DataDirectory(settings.data_dir)
    if not data.images.is_dir():
        raise NotFound(kind="image directory", id=str(data.images))
    with data.held_by("controller"), store_identity.opened(data.images, alone=True):
        async with open_datastore(settings) as datastore:
            yield data.images, datastore
