"""Users and tokens.

Statements are built once, with named blanks, because building one takes ten times as long as
running it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.fence import shut_out
from dpip.controller.datastore.tables import tokens, users
from dpip.errors import UserExists
from dpip.model.user import Caller, PersonalToken, Role, Scope, User

_USER_NAMED = select(users).where(users.c.name == bindparam("wanted"))
_SET_PASSWORD = (
    update(users)
    .where(users.c.name == bindparam("wanted"))
    .values(password_hash=bindparam("fresh"))
    .returning(users.c.id)
)
_CALLER = Prepared(
    select(tokens.c.worker, tokens.c.id.label("token_id"), tokens.c.scope, users)
    .outerjoin_from(tokens, users, tokens.c.user_id == users.c.id)
    .where(tokens.c.hash == bindparam("wanted"))
    .where(or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > bindparam("now")))
)

_ADD_TOKEN = insert(tokens)
_REMOVE_EXPIRED = delete(tokens).where(tokens.c.expires_at <= bindparam("now"))
_PERSONAL_TOKENS = select(tokens).where(tokens.c.id.is_not(None)).order_by(tokens.c.id)
_NOTE_USE = (
    update(tokens)
    .where(tokens.c.id == bindparam("wanted"))
    .values(last_used_at=bindparam("used_at"))
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
                "weight": user.weight,
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


def set_weight(connection: Connection, name: str, weight: int) -> bool:
    named = update(users).where(users.c.name == name)
    return connection.execute(named.values(weight=weight)).rowcount > 0


def remove_user(connection: Connection, name: str) -> bool:
    return connection.execute(delete(users).where(users.c.name == name)).rowcount > 0


def add_token(
    connection: Connection, token_hash: str, user_id: str, created_at: float, expires_at: float
) -> None:
    connection.execute(
        _ADD_TOKEN,
        {
            "hash": token_hash,
            "user_id": user_id,
            "created_at": created_at,
            "expires_at": expires_at,
        },
    )
    connection.execute(_REMOVE_EXPIRED, {"now": created_at})


def add_personal_token(connection: Connection, token_hash: str, token: PersonalToken) -> None:
    connection.execute(
        _ADD_TOKEN,
        {
            "hash": token_hash,
            "id": token.id,
            "user_id": token.user_id,
            "name": token.name,
            "scope": token.scope.value,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        },
    )
    connection.execute(_REMOVE_EXPIRED, {"now": token.created_at})


def personal_tokens(connection: Connection, user_id: str | None) -> list[PersonalToken]:
    query = _PERSONAL_TOKENS
    if user_id is not None:
        query = query.where(tokens.c.user_id == user_id)
    return [
        PersonalToken(
            id=row.id,
            user_id=row.user_id,
            name=row.name,
            scope=Scope(row.scope),
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
        )
        for row in connection.execute(query)
    ]


def revoke_token(connection: Connection, token_id: str, user_id: str | None) -> bool:
    statement = delete(tokens).where(tokens.c.id == token_id)
    if user_id is not None:
        statement = statement.where(tokens.c.user_id == user_id)
    return connection.execute(statement).rowcount > 0


def note_token_use(connection: Connection, used: Mapping[str, float]) -> None:
    connection.execute(
        _NOTE_USE, [{"wanted": token_id, "used_at": at} for token_id, at in sorted(used.items())]
    )


def add_worker_token(
    connection: Connection, token_hash: str, worker: str, created_at: float
) -> None:
    shut_out(connection, worker)
    connection.execute(insert(tokens).values(hash=token_hash, worker=worker, created_at=created_at))


def caller(connection: Connection, token_hash: str, now: float) -> Caller | None:
    row = _CALLER.row(connection, {"wanted": token_hash, "now": now})
    if row is None:
        return None
    if row.worker is not None:
        return Caller(worker=row.worker)
    if row.scope is None:
        return Caller(user=_user(row))
    narrowed = Role(row.role).narrowed(Scope(row.scope))
    return Caller(user=_user(row, narrowed), token_id=row.token_id)


def remove_token(connection: Connection, token_hash: str) -> None:
    connection.execute(delete(tokens).where(tokens.c.hash == token_hash))


def _user(row: Any, role: Role | None = None) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=role or Role(row.role),
        password_hash=row.password_hash,
        weight=row.weight,
        created_at=row.created_at,
    )
