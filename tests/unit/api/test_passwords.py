"""Passwords are checked and never kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dpip.api import passwords as module
from dpip.api.passwords import Passwords, hash_password


class CountingHasher:
    """Does no work, and counts what it is asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def hash(self, password: str) -> str:
        self.calls += 1
        return ""

    def verify(self, password_hash: str, password: str) -> bool:
        self.calls += 1
        return True


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> CountingHasher:
    hasher = CountingHasher()
    monkeypatch.setattr(module, "_hasher", hasher)
    return hasher


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


async def test_an_unknown_user_costs_as_much_as_a_wrong_password(hasher: CountingHasher) -> None:
    """One hash each, so that time does not tell them apart."""
    await Passwords().match("a hash", "x")
    assert hasher.calls == 1
    assert not await Passwords().match(None, "x")
    assert hasher.calls == 2


@pytest.mark.usefixtures("hasher")
async def test_two_passwords_are_hashed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known users or not; the others wait for their turn."""
    running: list[int] = [0]

    async def in_thread(work: Callable[..., bool], *arguments: Any) -> bool:
        running.append(running[-1] + 1)
        for _ in range(10):
            await asyncio.sleep(0)
        running.append(running[-1] - 1)
        return work(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", in_thread)
    passwords = Passwords()
    async with asyncio.TaskGroup() as tasks:
        for password_hash in (None, "a hash") * 4:
            tasks.create_task(passwords.match(password_hash, "x"))
    assert max(running) == 2
