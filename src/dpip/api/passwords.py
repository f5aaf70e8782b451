"""Passwords as argon2id strings (RFC 9106)."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE = 2
"""Each takes 64 MiB for the time it runs, so a crowd of logins queues up here."""

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Return the argon2id string to keep for ``password``; takes tens of milliseconds."""
    return _hasher.hash(password)


class Passwords:
    """Checks passwords away from the event loop, a few at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def match(self, password_hash: str | None, password: str) -> bool:
        """Whether ``password`` is the one that was hashed.

        Without a hash, for a user that does not exist, a no takes as long as any other.
        """
        async with self._turns:
            if password_hash is None:
                await asyncio.to_thread(hash_password, password)
                return False
            return await asyncio.to_thread(is_password, password_hash, password)


def is_password(password_hash: str, password: str) -> bool:
    """Whether ``password`` is what was hashed; takes tens of milliseconds."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
