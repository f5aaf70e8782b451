"""An image store and its database belong together by an id, on each kind of database."""

import asyncio
from pathlib import Path

import pytest

from dpip.controller import store_identity
from dpip.controller.datastore import SqlDatastore
from dpip.controller.image_directories import ImageDirectories
from dpip.errors import CannotStart
from dpip.model.ids import new_id
from dpip.model.workload import Workload
from tests.contract.builders import add_workload, build_original, build_workload
from tests.contract.test_orphan_sweep import leave, record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> ImageDirectories:
    return ImageDirectories(root)


async def tie(root: Path, datastore: SqlDatastore) -> None:
    await store_identity.tie(root, datastore, where="the database")


async def is_tied(root: Path, datastore: SqlDatastore) -> bool:
    return (root / ".store").read_text().strip() == await datastore.store_id()


async def add_workloads(datastore: SqlDatastore, count: int) -> list[Workload]:
    return [await add_workload(datastore) for _ in range(count)]


async def test_two_that_are_new_are_tied(datastore: SqlDatastore, root: Path) -> None:
    """By an id that stays."""
    await tie(root, datastore)
    assert await is_tied(root, datastore)
    known = await datastore.store_id()
    await tie(root, datastore)
    assert await datastore.store_id() == known


async def test_several_that_start_at_once_agree(
    datastore: SqlDatastore, second_datastore: SqlDatastore, root: Path
) -> None:
    """No start is refused, and there is one id."""
    await asyncio.gather(*(tie(root, each) for each in (datastore, second_datastore) * 8))
    assert await is_tied(root, datastore)
    assert [path.name for path in root.iterdir()] == [".store"]


async def test_two_of_a_former_version_are_tied(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """They have no ids and the same workloads; what a crash has left there does not matter."""
    for workload in await add_workloads(datastore, 3):
        await record(datastore, store, workload)
    await leave(store, build_original(build_workload()))
    await tie(root, datastore)
    assert await is_tied(root, datastore)


@pytest.mark.parametrize("written", ["file", "row"])
async def test_a_start_that_ended_between_the_two_sides_is_made_good(
    datastore: SqlDatastore, store: ImageDirectories, root: Path, written: str
) -> None:
    """One side has the id: the other gets the same."""
    await record(datastore, store, await add_workload(datastore))
    store_id = new_id()
    if written == "file":
        (root / ".store").write_text(store_id)
    else:
        await datastore.tie_store(store_id)
    await tie(root, datastore)
    assert await is_tied(root, datastore)
    assert await datastore.store_id() == store_id


@pytest.mark.parametrize("has_id", [False, True])
async def test_an_empty_database_on_a_full_store_is_refused(
    datastore: SqlDatastore, store: ImageDirectories, root: Path, has_id: bool
) -> None:
    """With and without an id, again and again, and it gets none."""
    await leave(store, build_original(build_workload()))
    if has_id:
        (root / ".store").write_text(new_id())
    for _ in range(2):
        with pytest.raises(CannotStart, match="workloads with pictures: 1"):
            await tie(root, datastore)
    assert await datastore.store_id() is None


@pytest.mark.parametrize("has_id", [False, True])
async def test_an_empty_store_of_a_full_database_is_refused(
    datastore: SqlDatastore, store: ImageDirectories, root: Path, has_id: bool
) -> None:
    """With and without an id."""
    path = await record(datastore, store, await add_workload(datastore))
    path.unlink()
    if has_id:
        await datastore.tie_store(new_id())
    with pytest.raises(CannotStart, match="do not belong together"):
        await tie(root, datastore)
    assert not (root / ".store").exists()


async def test_two_with_different_ids_are_refused(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Whatever they hold; the sentence has both ids."""
    await record(datastore, store, await add_workload(datastore))
    ids = new_id(), new_id()
    (root / ".store").write_text(ids[0])
    await datastore.tie_store(ids[1])
    with pytest.raises(CannotStart, match=f"{ids[0]}.*{ids[1]}"):
        await tie(root, datastore)


async def test_full_ones_that_share_little_are_refused(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """A workload in common is chance, or a copy."""
    shared, *others = await add_workloads(datastore, 3)
    await record(datastore, store, shared)
    for other in others:
        (await record(datastore, store, other)).unlink()
    with pytest.raises(CannotStart, match="do not belong together"):
        await tie(root, datastore)


async def test_adopted_ones_are_tied_by_a_new_id(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """No former partner of either would fit."""
    await leave(store, build_original(build_workload()))
    former = new_id(), new_id()
    (root / ".store").write_text(former[0])
    await datastore.tie_store(former[1])
    await store_identity.adopt(root, datastore)
    await tie(root, datastore)
    assert await datastore.store_id() not in former


@pytest.mark.parametrize("written", [b"", b"\xd0 no id"])
async def test_an_id_that_is_damaged_is_named(
    datastore: SqlDatastore, root: Path, written: bytes
) -> None:
    """And how to have another; nothing is tied before a person has said so."""
    (root / ".store").write_bytes(written)
    with pytest.raises(CannotStart, match=r"\.store is damaged.*dpip store adopt"):
        await tie(root, datastore)
    assert await datastore.store_id() is None
    await store_identity.adopt(root, datastore)
    assert await is_tied(root, datastore)


def test_nobody_works_alone_on_a_store_that_is_open(root: Path) -> None:
    """Several APIs do beside each other."""
    opened = store_identity.opened
    with (
        opened(root),
        opened(root),
        pytest.raises(CannotStart, match="stop"),
        opened(root, alone=True),
    ):
        pass
    with opened(root, alone=True), pytest.raises(CannotStart, match="wait"), opened(root):
        pass
