"""Join tokens are kept, replaced and ended, and a worker's own token with the worker."""

import pytest

from dpip.errors import JoinTokenExists
from dpip.model.join_token import JoinToken
from dpip.model.worker import Reading, WorkerState
from dpip.ports.datastore import Datastore
from tests.contract.builders import NOW, build_worker


def token(name: str, token_id: str = "a" * 12, expires_at: float | None = None) -> JoinToken:
    return JoinToken(
        id=token_id, name=name, secret_hash="0" * 64, created_at=NOW, expires_at=expires_at
    )


async def test_a_join_token_is_found_by_its_id(datastore: Datastore) -> None:
    """And listed by its name, expired or not."""
    cellar, attic = token("cellar", "1" * 12, NOW - 1), token("attic", "2" * 12)
    await datastore.add_join_token(cellar)
    await datastore.add_join_token(attic)
    assert await datastore.join_token(cellar.id) == cellar
    assert await datastore.join_token("3" * 12) is None
    assert await datastore.join_tokens() == [attic, cellar]


async def test_a_name_is_given_once(datastore: Datastore) -> None:
    """The first keeps it."""
    first = token("cellar", "1" * 12)
    await datastore.add_join_token(first)
    with pytest.raises(JoinTokenExists, match="rotate cellar"):
        await datastore.add_join_token(token("cellar", "2" * 12))
    assert await datastore.join_tokens() == [first]


async def test_a_replaced_join_token_is_gone(datastore: Datastore) -> None:
    """Its name stays; of a name that is not there nothing is made."""
    assert not await datastore.replace_join_token(token("cellar", "1" * 12))
    await datastore.add_join_token(token("cellar", "1" * 12))
    assert await datastore.replace_join_token(token("cellar", "2" * 12))
    assert await datastore.join_token("1" * 12) is None
    assert [each.id for each in await datastore.join_tokens()] == ["2" * 12]


async def test_a_removed_join_token_is_gone(datastore: Datastore) -> None:
    """It is removed once."""
    await datastore.add_join_token(token("cellar"))
    assert await datastore.remove_join_token("cellar")
    assert not await datastore.remove_join_token("cellar")
    assert await datastore.join_tokens() == []


async def test_the_last_use_of_a_join_token_is_kept(datastore: Datastore) -> None:
    """It is when a worker last joined by it; others are untouched."""
    await datastore.add_join_token(token("cellar", "1" * 12))
    await datastore.add_join_token(token("attic", "2" * 12))
    await datastore.add_worker(build_worker(join_token="1" * 12))
    used = {each.name: each.last_used_at for each in await datastore.join_tokens()}
    assert used == {"cellar": NOW, "attic": None}
    (worker,) = await datastore.workers()
    assert worker.join_token == "1" * 12


@pytest.mark.parametrize("state", [WorkerState.LEFT, WorkerState.LOST])
async def test_the_token_of_a_worker_ends_with_it(datastore: Datastore, state: WorkerState) -> None:
    """It opens nothing more; that of another worker does."""
    for name in ("ada", "bob"):
        await datastore.add_worker(build_worker(name))
        await datastore.add_worker_token(f"hash of {name}", worker=name, created_at=NOW)
    await datastore.end_worker("ada", state, NOW)
    assert await datastore.caller("hash of ada", NOW) is None
    assert await datastore.caller("hash of bob", NOW) is not None


async def test_a_reading_revives_nobody(datastore: Datastore) -> None:
    """One who has left or is lost comes back by joining."""
    worker = build_worker("ada")
    await datastore.add_worker(worker)
    await datastore.end_worker("ada", WorkerState.LOST, NOW)
    reading = Reading("ada", WorkerState.ALIVE, worker.resources, 3, NOW + 1)
    await datastore.record_heartbeats([reading], history=False)
    (known,) = await datastore.workers()
    assert (known.state, known.running) == (WorkerState.LOST, 0)
