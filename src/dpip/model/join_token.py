"""What a worker shows to join, as its holder has it and as the datastore keeps it."""

import hashlib
import hmac
import re
import secrets
from typing import Self

from msgspec import Struct

from dpip.errors import InvalidValue

_TEXT = re.compile(r"(?P<id>[a-z0-9]{12})\.((?P<authority>[0-9a-f]{64})\.)?(?P<secret>[\w-]{43})")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class JoinSecret(Struct, frozen=True, kw_only=True):
    """A join token as it is shown: ``<id>.<secret>``, or ``<id>.<authority>.<secret>``.

    ``authority`` is the SHA-256, in hexadecimal digits, of the certificate of the only authority
    whose servers the holder may trust.
    """

    id: str
    secret: str
    authority: str | None = None

    @classmethod
    def new(cls, authority: str | None = None) -> Self:
        """Return a fresh one, with a secret of 256 bits."""
        return cls(id=secrets.token_hex(6), secret=secrets.token_urlsafe(32), authority=authority)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the one that ``text`` shows. Raises ``InvalidValue``."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise InvalidValue(
                field="join token",
                value=f"{text[:4]}…",
                allowed="it is a line as 'dpip join-token create' shows it",
            )
        return cls(id=found["id"], secret=found["secret"], authority=found["authority"])

    def __str__(self) -> str:
        return ".".join(part for part in (self.id, self.authority, self.secret) if part)

    @property
    def hash(self) -> str:
        """The SHA-256 of the secret, the form in which it is stored."""
        return _hash(self.secret)


class JoinToken(Struct, frozen=True, kw_only=True):
    """A join token as the datastore keeps it; times are seconds since 1970.

    ``id`` changes with its secret, ``name`` stays. ``last_used_at`` is when a worker last joined.
    """

    id: str
    name: str
    secret_hash: str
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None

    def is_in_force(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at

    def admits(self, secret: str, now: float) -> bool:
        """Whether ``secret`` is its secret, and it is in force."""
        return hmac.compare_digest(self.secret_hash, _hash(secret)) and self.is_in_force(now)


def check_join_token_name(name: str) -> str:
    """Return ``name`` if it can be a join token's, else raise ``InvalidValue``."""
    if not _NAME.fullmatch(name):
        raise InvalidValue(
            field="name of the join token",
            value=name,
            allowed="1 to 64 letters, digits, '-' and '_'",
        )
    return name


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
