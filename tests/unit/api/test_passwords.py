"""Passwords are checked and never kept."""

from dpip.api.passwords import Passwords, hash_password


async def test_only_the_right_password_matches() -> None:
    """A hash matches its own password and no other."""
    kept = hash_password("correct horse")
    passwords = Passwords()
    assert await passwords.match(kept, "correct horse")
    assert not await passwords.match(kept, "correct horse ")
    assert not await passwords.match(kept, "")


async def test_a_missing_user_or_a_broken_hash_matches_nothing() -> None:
    """Without a usable hash the answer is no."""
    passwords = Passwords()
    assert not await passwords.match(None, "x")
    assert not await passwords.match("no hash", "x")


def test_a_hash_is_argon2id_and_salted() -> None:
    """The same password gives another argon2id string each time."""
    first, second = hash_password("x"), hash_password("x")
    assert first.startswith("$argon2id$")
    assert first != second
