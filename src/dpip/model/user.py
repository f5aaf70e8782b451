"""Who may ask for what."""

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """What a user may see: their own objects, or everybody's."""

    USER = "user"
    ADMINISTRATOR = "administrator"


class User(Struct, frozen=True, kw_only=True):
    """A person with a password. ``password_hash`` is an argon2id string."""

    id: str
    name: str
    role: Role
    password_hash: str
    created_at: float


class Caller(Struct, frozen=True, kw_only=True):
    """Whoever a token speaks for: a user, or a worker that has joined.

    Exactly one of ``user`` and ``worker`` (the worker's name) is set.
    """

    user: User | None = None
    worker: str | None = None

    def may_see(self, owner_id: str) -> bool:
        """Whether objects of the user ``owner_id`` exist for this caller."""
        return self.user is not None and (
            self.user.role is Role.ADMINISTRATOR or self.user.id == owner_id
        )
