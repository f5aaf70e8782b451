"""What lets workers in."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from dpip.controller.datastore.tables import join_tokens
from dpip.errors import JoinTokenExists
from dpip.model.join_token import JoinToken


def add_join_token(connection: Connection, token: JoinToken) -> None:
    try:
        connection.execute(
            insert(join_tokens).values(
                id=token.id,
                name=token.name,
                secret_hash=token.secret_hash,
                created_at=token.created_at,
                expires_at=token.expires_at,
                last_used_at=token.last_used_at,
            )
        )
    except IntegrityError as error:
        raise JoinTokenExists(name=token.name) from error


def replace_join_token(connection: Connection, token: JoinToken) -> bool:
    known = remove_join_token(connection, token.name)
    if known:
        add_join_token(connection, token)
    return known


def remove_join_token(connection: Connection, name: str) -> bool:
    return connection.execute(delete(join_tokens).where(join_tokens.c.name == name)).rowcount > 0


def join_token(connection: Connection, token_id: str) -> JoinToken | None:
    row = connection.execute(select(join_tokens).where(join_tokens.c.id == token_id)).one_or_none()
    return _join_token(row) if row else None


def all_join_tokens(connection: Connection) -> list[JoinToken]:
    query = select(join_tokens).order_by(join_tokens.c.name)
    return [_join_token(row) for row in connection.execute(query)]


def _join_token(row: Any) -> JoinToken:
    return JoinToken(
        id=row.id,
        name=row.name,
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
