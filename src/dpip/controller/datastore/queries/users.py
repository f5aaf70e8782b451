"""Users and tokens.

Statements are built once, with named blanks, because building one takes ten times as long as
running it.
"""

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from dpip.controller.datastore.tables import tokens, users
from dpip.errors import UserExists
from dpip.model.user import Caller, Role, User

_USER_NAMED = select(users).where(users.c.name == bindparam("wanted"))
_SET_PASSWORD = (
    update(users)
    .where(users.c.name == bindparam("wanted"))
    .values(password_hash=bindparam("fresh"))
    .returning(users.c.id)
)
_CALLER = (
    select(tokens.c.worker, users)
    .outerjoin_from(tokens, users, tokens.c.user_id == users.c.id)
    .where(tokens.c.hash == bindparam("wanted"))
    .where(or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > bindparam("now")))
)


def add_user(connection: Connection, user: User) -> None:
    try:
        connection.execute(
            insert(users),
            {
                "id": user.id,
                "name": user.name,
                "role": user.role.value,
                "password_hash": user.password_hash,
                "created_at": user.created_at,
            },
        )
    except IntegrityError as error:
        raise UserExists(name=user.name) from error


def user_named(connection: Connection, name: str) -> User | None:
    row = connection.execute(_USER_NAMED, {"wanted": name}).one_or_none()
    return _user(row) if row else None


def all_users(connection: Connection) -> list[User]:
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]


def set_password(connection: Connection, name: str, password_hash: str) -> bool:
    user_id = connection.scalar(_SET_PASSWORD, {"wanted": name, "fresh": password_hash})
    if user_id is None:
        return False
    connection.execute(delete(tokens).where(tokens.c.user_id == user_id))
    return True


def remove_user(connection: Connection, name: str) -> bool:
    return connection.execute(delete(users).where(users.c.name == name)).rowcount > 0


def add_token(
    connection: Connection, token_hash: str, user_id: str, created_at: float, expires_at: float
) -> None:
    connection.execute(
        insert(tokens).values(
            hash=token_hash, user_id=user_id, created_at=created_at, expires_at=expires_at
        )
    )
    connection.execute(delete(tokens).where(tokens.c.expires_at <= created_at))


def add_worker_token(
    connection: Connection, token_hash: str, worker: str, created_at: float
) -> None:
    connection.execute(delete(tokens).where(tokens.c.worker == worker))
    connection.execute(insert(tokens).values(hash=token_hash, worker=worker, created_at=created_at))


def caller(connection: Connection, token_hash: str, now: float) -> Caller | None:
    row = connection.execute(_CALLER, {"wanted": token_hash, "now": now}).one_or_none()
    if row is None:
        return None
    return Caller(worker=row.worker) if row.worker is not None else Caller(user=_user(row))


def remove_token(connection: Connection, token_hash: str) -> None:
    connection.execute(delete(tokens).where(tokens.c.hash == token_hash))


def _user(row: Any) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        password_hash=row.password_hash,
        created_at=row.created_at,
    )
