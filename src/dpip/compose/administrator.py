"""The first user: made at the first start, and named at each."""

import asyncio
from pathlib import Path

import structlog
from msgspec import Struct

from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import UserExists
from dpip.model.ids import new_id
from dpip.model.user import Role, User
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import Datastore

log = structlog.get_logger()


class Administrator(Struct, frozen=True, kw_only=True):
    """Who may log in to a system that was started.

    ``new_password`` is what was generated at this very start; ``password_file`` holds a generated
    password that is still good.
    """

    name: str
    new_password: str | None = None
    password_file: Path | None = None


async def ensure_administrator(
    datastore: Datastore, settings: Settings, data: DataDirectory
) -> Administrator:
    """Return the administrator that there is, made where there is no user yet.

    A password in the settings that is of no effect, because one was set before, is warned about.
    """
    known = await datastore.users() or await _make(datastore, settings, data)
    if isinstance(known, Administrator):
        return known
    administrators = {user.name: user for user in known if user.role is Role.ADMINISTRATOR}
    user = administrators.get(settings.admin_user)
    if user is None:
        if settings.admin_password:
            log.warning(
                "DPIP_ADMIN_PASSWORD is of no effect: there are other administrators",
                named=settings.admin_user,
                administrators=", ".join(administrators),
            )
        return Administrator(name=", ".join(administrators))
    if settings.admin_password and not await _is_password(user, settings.admin_password):
        log.warning(
            "DPIP_ADMIN_PASSWORD is of no effect: the administrator has another password, which "
            "'dpip user passwd' changes",
            administrator=user.name,
        )
    file = data.admin_password_file
    is_good = file.exists() and await _is_password(user, data.admin_password())
    return Administrator(name=user.name, password_file=file if is_good else None)


async def _make(
    datastore: Datastore, settings: Settings, data: DataDirectory
) -> Administrator | list[User]:
    from dpip.api.passwords import hash_password

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
        return await datastore.users()
    if settings.admin_password:
        return Administrator(name=administrator.name)
    return Administrator(
        name=administrator.name, new_password=password, password_file=data.admin_password_file
    )


async def _is_password(user: User, password: str) -> bool:
    from dpip.api.passwords import is_password

    return await asyncio.to_thread(is_password, user.password_hash, password)
