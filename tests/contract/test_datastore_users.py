"""What ``dpip.ports.datastore.Users`` promises."""

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import UserExists
from dpip.model.user import Caller, Role
from tests.contract.builders import NOW, add_workload, build_user

TOKEN, OTHER_TOKEN = "a" * 64, "b" * 64


async def add_token(
    datastore: SqlDatastore, user_id: str, token: str = TOKEN, expires_at: float = NOW + 60
) -> None:
    await datastore.add_token(token, user_id=user_id, created_at=NOW, expires_at=expires_at)


@pytest.mark.parametrize("role", Role)
async def test_a_user_comes_back_as_added(datastore: SqlDatastore, role: Role) -> None:
    """Every field of a user is kept."""
    user = build_user("Zoë O'Neil", role)
    await datastore.add_user(user)
    assert await datastore.user_named("Zoë O'Neil") == user


async def test_an_unknown_name_has_no_user(datastore: SqlDatastore) -> None:
    """Names are compared to the letter."""
    await datastore.add_user(build_user("alice"))
    assert await datastore.user_named("Alice") is None
    assert await datastore.user_named("alic_") is None


async def test_users_are_listed_by_name(datastore: SqlDatastore) -> None:
    """The order is that of the names, not that of their coming."""
    users = {name: build_user(name) for name in ("carol", "alice", "bob")}
    for user in users.values():
        await datastore.add_user(user)
    assert await datastore.users() == [users["alice"], users["bob"], users["carol"]]


async def test_a_taken_name_is_refused(datastore: SqlDatastore) -> None:
    """The user who is there stays as they are."""
    first = build_user("alice")
    await datastore.add_user(first)
    with pytest.raises(UserExists) as refusal:
        await datastore.add_user(build_user("alice", Role.ADMINISTRATOR))
    assert refusal.value.facts == {"name": "alice"}
    assert await datastore.users() == [first]


async def test_a_new_password_replaces_the_old_one(datastore: SqlDatastore) -> None:
    """The new hash is kept for that user and no other."""
    alice, bob = build_user("alice"), build_user("bob")
    await datastore.add_user(alice)
    await datastore.add_user(bob)
    assert await datastore.set_password("alice", "$argon2id$2")
    hashes = [user.password_hash for user in await datastore.users()]
    assert hashes == ["$argon2id$2", bob.password_hash]


async def test_a_new_password_ends_the_users_tokens(datastore: SqlDatastore) -> None:
    """All tokens of the user end, and those of others do not."""
    alice, bob = build_user("alice"), build_user("bob")
    for user, tokens in ((alice, ("1", "2")), (bob, ("3",))):
        await datastore.add_user(user)
        for token in tokens:
            await add_token(datastore, user.id, token)
    await datastore.set_password("alice", "$argon2id$2")
    assert await datastore.caller("1", NOW) is None
    assert await datastore.caller("2", NOW) is None
    assert await datastore.caller("3", NOW) == Caller(user=bob)


async def test_a_weight_is_kept_for_one_user(datastore: SqlDatastore) -> None:
    """It is 1 until it is set, and says whether there is such a user."""
    for name in ("alice", "bob"):
        await datastore.add_user(build_user(name))
    assert await datastore.set_weight("alice", 100)
    assert not await datastore.set_weight("carol", 2)
    assert [user.weight for user in await datastore.users()] == [100, 1]


async def test_nobodys_password_cannot_be_set(datastore: SqlDatastore) -> None:
    """The answer says that there is no such user."""
    assert not await datastore.set_password("alice", "$argon2id$2")
    assert await datastore.users() == []


async def test_a_removed_user_is_gone_with_their_tokens(datastore: SqlDatastore) -> None:
    """Neither the name nor the token is known afterwards, and a second removal says so."""
    user = build_user()
    await datastore.add_user(user)
    await add_token(datastore, user.id)
    assert await datastore.remove_user(user.name)
    assert await datastore.user_named(user.name) is None
    assert await datastore.caller(TOKEN, NOW) is None
    assert not await datastore.remove_user(user.name)


async def test_the_workloads_of_a_removed_user_stay(datastore: SqlDatastore) -> None:
    """They keep the id of their owner."""
    user = build_user()
    await datastore.add_user(user)
    workload = await add_workload(datastore, user.id)
    await datastore.remove_user(user.name)
    assert await datastore.workload(workload.id) == workload
    assert await datastore.workloads(owner_id=None, limit=10) == [workload]


async def test_a_token_speaks_for_its_user(datastore: SqlDatastore) -> None:
    """The caller carries the whole user."""
    user = build_user(role=Role.ADMINISTRATOR)
    await datastore.add_user(user)
    await add_token(datastore, user.id)
    assert await datastore.caller(TOKEN, NOW) == Caller(user=user)


async def test_an_unknown_token_speaks_for_nobody(datastore: SqlDatastore) -> None:
    """There is no caller."""
    assert await datastore.caller(TOKEN, NOW) is None


async def test_a_token_ends_at_its_time(datastore: SqlDatastore) -> None:
    """It holds until just before, and no longer."""
    user = build_user()
    await datastore.add_user(user)
    await add_token(datastore, user.id, expires_at=NOW + 60)
    assert await datastore.caller(TOKEN, NOW + 59.9) == Caller(user=user)
    assert await datastore.caller(TOKEN, NOW + 60) is None


async def test_a_removed_token_is_dead(datastore: SqlDatastore) -> None:
    """Another token of the same user lives on, and removing it again does nothing."""
    user = build_user()
    await datastore.add_user(user)
    await add_token(datastore, user.id)
    await add_token(datastore, user.id, OTHER_TOKEN)
    await datastore.remove_token(TOKEN)
    await datastore.remove_token(TOKEN)
    assert await datastore.caller(TOKEN, NOW) is None
    assert await datastore.caller(OTHER_TOKEN, NOW) == Caller(user=user)


async def test_a_worker_token_does_not_expire(datastore: SqlDatastore) -> None:
    """It speaks for its worker, and for no user."""
    await datastore.add_worker_token(TOKEN, worker="ada", created_at=NOW)
    assert await datastore.caller(TOKEN, NOW + 1e9) == Caller(worker="ada")


async def test_a_workers_new_token_replaces_the_old(datastore: SqlDatastore) -> None:
    """A worker has one token; the tokens of other workers are left alone."""
    await datastore.add_worker_token("grace", worker="grace", created_at=NOW)
    await datastore.add_worker_token(TOKEN, worker="ada", created_at=NOW)
    await datastore.add_worker_token(OTHER_TOKEN, worker="ada", created_at=NOW)
    assert await datastore.caller(TOKEN, NOW) is None
    assert await datastore.caller(OTHER_TOKEN, NOW) == Caller(worker="ada")
    assert await datastore.caller("grace", NOW) == Caller(worker="grace")
