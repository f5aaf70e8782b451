"""What is kept: the data directory, the datastore and the images."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.ports.datastore import Datastore


def data_directory(settings: Settings) -> DataDirectory:
    """Return the data directory, made if it is not there. Raises ``CannotStart``."""
    data = DataDirectory(settings.data_dir)
    data.create()
    return data


def has_datastore(settings: Settings) -> bool:
    """Whether there can be a system: a database is named, or lies in the data directory."""
    return bool(settings.database_url) or DataDirectory(settings.data_dir).database.exists()


@asynccontextmanager
async def open_datastore(settings: Settings) -> AsyncIterator[Datastore]:
    """Open the datastore that the settings name."""
    from dpip.controller.datastore import SqlDatastore

    data = data_directory(settings)
    if not settings.database_url:
        data.check_database()
    datastore = await SqlDatastore.open(settings.database_url or data.database_url)
    try:
        yield datastore
    finally:
        await datastore.close()


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Datastore]:
    """Open the datastore together with the image directory, once it is sure that they match.

    Raises ``CannotStart`` for two that do not match.
    """
    from dpip.controller import store_identity

    async with open_datastore(settings) as datastore:
        data = data_directory(settings)
        images = data.usable(data.images)
        with store_identity.opened(images):
            await store_identity.tie(images, datastore, where=shown_database(settings))
            yield datastore


def shown_database(settings: Settings) -> str:
    """Where the database is, without a password."""
    from dpip.controller.datastore.engines import without_password

    return without_password(settings.database_url or DataDirectory(settings.data_dir).database_url)
