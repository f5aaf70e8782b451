"""Who may ask for what."""

from enum import StrEnum
from typing import Self

from msgspec import Struct

from dpip.errors import InvalidValue
from dpip.model.ids import new_id
from dpip.plain_text import is_plain

LONGEST_NAME = 100
"""Characters of a user's or a token's name."""

SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 1024
"""Characters."""

LONGEST_TOKEN_DAYS = 3650

_SECONDS_A_DAY = 86_400


class Role(StrEnum):
    """What a user may do, each more than the one before: look at their own objects, make and
    remove some, see everybody's.
    """

    READ_ONLY = "read-only"
    USER = "user"
    ADMINISTRATOR = "administrator"

    def narrowed(self, scope: "Scope") -> "Role":
        """What of this role is left to a token of ``scope``."""
        return min(self, _ROLE_OF_SCOPE[scope], key=list(Role).index)

    def covers(self, scope: "Scope") -> bool:
        """Whether a token of ``scope`` would do no more than this role may."""
        return self.narrowed(scope) is _ROLE_OF_SCOPE[scope]


class Scope(StrEnum):
    """The most that a personal token may do, whatever the role of its user."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_ROLE_OF_SCOPE = {
    Scope.READ: Role.READ_ONLY,
    Scope.WRITE: Role.USER,
    Scope.ADMIN: Role.ADMINISTRATOR,
}


class User(Struct, frozen=True, kw_only=True):
    """A person with a password. ``password_hash`` is an argon2id string.

    Of two users whose jobs compete, one with twice the ``weight`` gets twice as much.
    """

    id: str
    name: str
    role: Role
    password_hash: str
    created_at: float
    weight: int = 1


class PersonalToken(Struct, frozen=True, kw_only=True):
    """A token that a user has made for a program, under a ``name`` of their choice.

    Times are seconds since 1970. ``last_used_at`` is exact to a minute, ``None`` for never.
    """

    id: str
    user_id: str
    name: str
    scope: Scope
    created_at: float
    expires_at: float
    last_used_at: float | None = None

    @classmethod
    def of(cls, user: User, *, name: str, scope: Scope, days: int, now: float) -> Self:
        """Return a new one that is good for ``days``.

        Raises ``InvalidValue`` for a scope that goes beyond the user's role and for a name that
        cannot be shown.
        """
        if not user.role.covers(scope):
            raise InvalidValue(
                field="scope",
                value=scope.value,
                allowed=f"the role of {user.name} is {user.role.value}, which is less",
            )
        if not 1 <= len(name) <= LONGEST_NAME or not is_plain(name):
            raise InvalidValue(
                field="name", value=name, allowed=f"1 to {LONGEST_NAME} printable characters"
            )
        return cls(
            id=new_id(),
            user_id=user.id,
            name=name,
            scope=scope,
            created_at=now,
            expires_at=now + days * _SECONDS_A_DAY,
        )


class Caller(Struct, frozen=True, kw_only=True):
    """Whoever a token speaks for: a user, or a worker that has joined.

    Exactly one of ``user`` and ``worker`` (the worker's name) is set. The role of ``user`` is what
    the token leaves of it; ``token_id`` is that of a personal token.
    """

    user: User | None = None
    worker: str | None = None
    token_id: str | None = None

    def may_see(self, owner_id: str) -> bool:
        """Whether objects of the user ``owner_id`` exist for this caller."""
        return self.user is not None and (
            self.user.role is Role.ADMINISTRATOR or self.user.id == owner_id
        )
