"""What is kept: the data directory, the datastore, and the first user in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import UserExists
from dpip.model.ids import new_id
from dpip.model.user import Role, User
from dpip.ports.clock import SystemClock
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
        images = data_directory(settings).images
        with store_identity.opened(images):
            await store_identity.tie(images, datastore, where=shown_database(settings))
            yield datastore


def shown_database(settings: Settings) -> str:
    """Where the database is, without a password."""
    from dpip.controller.datastore.engines import without_password

    return without_password(settings.database_url or DataDirectory(settings.data_dir).database_url)


async def ensure_administrator(
    datastore: Datastore, settings: Settings, data: DataDirectory
) -> str | None:
    """Create the administrator where there is no user yet; returns a password made for it."""
    from dpip.api.passwords import hash_password

    if await datastore.users():
        return None
    password = settings.admin_password or data.admin_password()
    administrator = User(
        id=new_id(),
        name=settings.admin_user,
        role=Role.ADMINISTRATOR,
        password_hash=await asyncio.to_thread(hash_password, password),
        created_at=SystemClock().now(),
    )
    try:
        await datastore.add_user(administrator)
    except UserExists:  # Another API, started in the same moment, was first.
        return None
    return None if settings.admin_password else password
