"""What ``dpip.ports.datastore.Users`` promises of personal tokens."""

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.model.user import Caller, PersonalToken, Role, Scope, User
from tests.contract.builders import NOW, build_user

TOKEN, OTHER_TOKEN = "a" * 64, "b" * 64


async def build(
    datastore: SqlDatastore, user: User, token_hash: str = TOKEN, scope: Scope = Scope.READ
) -> PersonalToken:
    token = PersonalToken.of(user, name="laptop", scope=scope, days=1, now=NOW)
    await datastore.add_personal_token(token_hash, token)
    return token


async def test_a_personal_token_comes_back_as_added(datastore: SqlDatastore) -> None:
    """Every field is kept, for its user and for those who see all; others have none."""
    alice, bob = build_user("alice"), build_user("bob")
    await datastore.add_user(alice)
    await datastore.add_user(bob)
    token = await build(datastore, alice)
    await datastore.add_token(OTHER_TOKEN, user_id=bob.id, created_at=NOW, expires_at=NOW + 60)
    assert await datastore.personal_tokens(user_id=alice.id) == [token]
    assert await datastore.personal_tokens(user_id=None) == [token]
    assert await datastore.personal_tokens(user_id=bob.id) == []


@pytest.mark.parametrize(
    ("role", "scope", "left"),
    [
        (Role.ADMINISTRATOR, Scope.READ, Role.READ_ONLY),
        (Role.ADMINISTRATOR, Scope.WRITE, Role.USER),
        (Role.ADMINISTRATOR, Scope.ADMIN, Role.ADMINISTRATOR),
        (Role.USER, Scope.READ, Role.READ_ONLY),
        (Role.USER, Scope.WRITE, Role.USER),
        (Role.READ_ONLY, Scope.READ, Role.READ_ONLY),
    ],
)
async def test_its_scope_narrows_its_users_role(
    datastore: SqlDatastore, role: Role, scope: Scope, left: Role
) -> None:
    """The caller has what both allow, and the user's row stays as it is."""
    user = build_user(role=role)
    await datastore.add_user(user)
    token = await build(datastore, user, scope=scope)
    caller = await datastore.caller(TOKEN, NOW)
    assert caller
    assert caller.user
    assert caller.user.id == user.id
    assert caller.user.role is left
    assert caller.token_id == token.id
    assert await datastore.users() == [user]


async def test_a_scope_beyond_the_role_gives_no_more(datastore: SqlDatastore) -> None:
    """Whatever the token says, its user's role is the bound."""
    user = build_user(role=Role.READ_ONLY)
    await datastore.add_user(user)
    token = PersonalToken(
        id="t", user_id=user.id, name="x", scope=Scope.ADMIN, created_at=NOW, expires_at=NOW + 9
    )
    await datastore.add_personal_token(TOKEN, token)
    assert await datastore.caller(TOKEN, NOW) == Caller(user=user, token_id="t")


async def test_it_ends_at_its_time(datastore: SqlDatastore) -> None:
    """From then on it speaks for nobody."""
    user = build_user()
    await datastore.add_user(user)
    token = await build(datastore, user)
    assert await datastore.caller(TOKEN, token.expires_at - 0.1)
    assert await datastore.caller(TOKEN, token.expires_at) is None


async def test_it_is_revoked_by_its_user_or_for_everybody(datastore: SqlDatastore) -> None:
    """Somebody else cannot, and nobody can twice."""
    alice, bob = build_user("alice"), build_user("bob")
    await datastore.add_user(alice)
    await datastore.add_user(bob)
    token = await build(datastore, alice)
    other = await build(datastore, alice, OTHER_TOKEN)
    assert not await datastore.revoke_token(token.id, user_id=bob.id)
    assert await datastore.revoke_token(token.id, user_id=alice.id)
    assert not await datastore.revoke_token(token.id, user_id=alice.id)
    assert await datastore.caller(TOKEN, NOW) is None
    assert await datastore.revoke_token(other.id, user_id=None)
    assert await datastore.caller(OTHER_TOKEN, NOW) is None


async def test_a_new_password_ends_personal_tokens(datastore: SqlDatastore) -> None:
    """Whoever has stolen one is out with it."""
    user = build_user()
    await datastore.add_user(user)
    await build(datastore, user)
    await datastore.set_password(user.name, "fresh")
    assert await datastore.personal_tokens(user_id=user.id) == []


async def test_the_last_use_is_kept(datastore: SqlDatastore) -> None:
    """Of the tokens that are named, and a token that is gone meanwhile does no harm."""
    user = build_user()
    await datastore.add_user(user)
    used = await build(datastore, user)
    unused = await build(datastore, user, OTHER_TOKEN)
    await datastore.note_token_use({used.id: NOW + 5, "gone": NOW})
    await datastore.note_token_use({})
    last_used = {
        each.id: each.last_used_at for each in await datastore.personal_tokens(user_id=None)
    }
    assert last_used == {used.id: NOW + 5, unused.id: None}
