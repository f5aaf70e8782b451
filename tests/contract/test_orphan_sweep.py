"""What ``dpip.ports.image_store`` promises of a sweep, on image directories and each datastore."""

import asyncio
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from dpip.controller import orphan_sweep
from dpip.controller.datastore import SqlDatastore
from dpip.controller.image_directories import ImageDirectories
from dpip.errors import StorageUnavailable
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.workload import RemovedWorkload, Workload
from dpip.ports.datastore import Workloads
from dpip.ports.image_store import StagedFile
from tests.contract.builders import (
    BROKEN,
    NO_TERM,
    NOW,
    add_workload,
    build_filtered,
    build_original,
    build_workload,
)
from tests.contract.test_image_store import HOLD_UNTIL_TOLD, files_below

LOCK_UNTIL_TOLD = HOLD_UNTIL_TOLD.replace('"xb"', '"rb"')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> ImageDirectories:
    return ImageDirectories(root)


async def keep(store: ImageDirectories, image: Image) -> StagedFile:
    """Keep bytes for ``image`` as an upload does; it is not discarded yet."""
    staged = await store.stage()
    await staged.write(b"picture")
    await store.keep(staged, image)
    return staged


async def leave(store: ImageDirectories, image: Image) -> Path:
    """Keep bytes for ``image`` as a process does that is then killed."""
    await (await keep(store, image)).discard()
    return store.path(image)


async def record(datastore: SqlDatastore, store: ImageDirectories, workload: Workload) -> Path:
    """Upload an original to its end."""
    image = build_original(workload)
    staged = await keep(store, image)
    await datastore.add_original(image, new_id())
    await staged.discard()
    return store.path(image)


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", LOCK_UNTIL_TOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def aside(root: Path) -> list[Path]:
    """Where images that were moved aside come from, below the root."""
    days = [*root.glob(".orphans/*")]
    return sorted(path.relative_to(day) for day in days for path in files_below(day))


async def test_what_is_not_recorded_is_moved_aside(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Originals and results without a row, and nothing else; their places are to be seen."""
    workload = await add_workload(datastore)
    recorded = [await record(datastore, store, workload) for _ in range(2)]
    image = build_original(workload)
    orphans = [await leave(store, image), await leave(store, build_filtered(image))]
    assert await store.sweep(datastore) == 2
    assert all(path.exists() for path in recorded)
    assert not any(orphan.exists() for orphan in orphans)
    assert aside(root) == sorted(orphan.relative_to(root) for orphan in orphans)
    assert [path.read_bytes() for path in files_below(root / ".orphans")] == [b"picture"] * 2
    assert await store.sweep(datastore) == 0
    assert len(aside(root)) == 2


@pytest.mark.parametrize(
    ("recorded", "lost", "moved"), [(20, 20, 20), (19, 20, 0), (80, 21, 0), (1, 1, 1), (0, 1, 0)]
)
async def test_nothing_is_moved_when_rows_must_have_been_lost(
    datastore: SqlDatastore,
    store: ImageDirectories,
    root: Path,
    recorded: int,
    lost: int,
    moved: int,
) -> None:
    """A crash leaves a few; more, and more than a few percent, or most of a store, it does not."""
    workload = await add_workload(datastore)
    for _ in range(recorded):
        await record(datastore, store, workload)
    paths = [await leave(store, build_original(workload)) for _ in range(lost)]
    with capture_logs() as logs:
        assert await store.sweep(datastore) == moved
    assert len(aside(root)) == moved
    assert sum(path.exists() for path in paths) == lost - moved
    (said,) = logs
    assert said["log_level"] == "warning"
    assert said["images"] == recorded + lost
    assert "dpip store check" in said["event"]


async def test_of_a_large_store_a_few_percent_are_moved(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """One more than a few is not much of a store that is large enough."""
    workload = await add_workload(datastore)
    known = [await leave(store, build_original(workload)) for _ in range(400)]
    lost = [await leave(store, build_original(workload)) for _ in range(21)]
    assert await store.sweep(cast("Workloads", KnowsOnly(known))) == 21
    assert len(aside(root)) == 21
    assert not any(path.exists() for path in lost)


class KnowsOnly:
    """Knows of these images, and of every workload; none was removed."""

    async def removed_workloads(self) -> list[RemovedWorkload]:
        return []

    async def removed_images(self) -> list[Image]:
        return []

    def __init__(self, paths: list[Path]) -> None:
        self.known = {path.stem for path in paths}

    async def recorded_images(self, image_ids: Collection[str]) -> set[str]:
        return self.known & set(image_ids)

    async def workload(self, workload_id: str) -> str:
        return workload_id


async def test_what_was_moved_aside_goes_after_some_days(
    datastore: SqlDatastore, root: Path
) -> None:
    """Not a day too early, and nothing that somebody else has put there."""
    store = ImageDirectories(root, orphan_days=2)
    today = datetime.now(UTC).date()
    days = {age: root / ".orphans" / str(today - timedelta(days=age)) for age in range(5)}
    theirs = root / ".orphans" / "notes"
    for directory in (*days.values(), theirs):
        (directory / "holidays").mkdir(parents=True)
    await store.sweep(datastore)
    assert [age for age, directory in days.items() if directory.exists()] == [0, 1, 2]
    assert theirs.exists()


async def test_what_is_about_to_be_recorded_stays(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Until it is discarded, whichever process sweeps."""
    workload = await add_workload(datastore)
    await record(datastore, store, workload)
    image = build_original(workload)
    staged = await keep(store, image)
    for sweeper in (store, ImageDirectories(root)):
        assert await sweeper.sweep(datastore) == 0
    assert store.path(image).exists()
    await staged.discard()
    assert await store.sweep(datastore) == 1


async def test_what_another_process_is_about_to_record_stays(
    datastore: SqlDatastore, store: ImageDirectories
) -> None:
    """Until that process has ended."""
    workload = await add_workload(datastore)
    await record(datastore, store, workload)
    path = await leave(store, build_original(workload))
    with locked_by_another_process(path):
        assert await store.sweep(datastore) == 0
    assert await store.sweep(datastore) == 1
    assert not path.exists()


class RecordedMeanwhile:
    """Knows of no image when it is asked first, and of all from then on."""

    def __init__(self) -> None:
        self.asked = 0

    async def recorded_images(self, image_ids: Collection[str]) -> set[str]:
        self.asked += 1
        return set(image_ids) if self.asked > 1 else set()

    async def workload(self, workload_id: str) -> None:
        return None


async def test_what_is_recorded_meanwhile_stays(
    datastore: SqlDatastore, store: ImageDirectories
) -> None:
    """It is asked for again when nobody can be about to record it any more."""
    path = await leave(store, build_original(await add_workload(datastore)))
    rows = RecordedMeanwhile()
    assert await store.sweep(cast("Workloads", rows)) == 0
    assert rows.asked == 2
    assert path.exists()


async def test_sweeps_beside_uploads_take_nothing_away(
    datastore: SqlDatastore, second_datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Two processes on one store: what is uploaded through one survives the sweeps of both."""
    workload = await add_workload(datastore)
    sweeps = 0

    async def upload() -> Path:
        image = build_original(workload)
        staged = await keep(store, image)
        before = sweeps
        while sweeps == before:
            await asyncio.sleep(0)
        await datastore.add_original(image, new_id())
        await staged.discard()
        return store.path(image)

    uploads = asyncio.gather(*(upload() for _ in range(100)))
    other = ImageDirectories(root)
    while not uploads.done():
        assert await store.sweep(datastore) == 0
        assert await other.sweep(second_datastore) == 0
        sweeps += 1
    assert all(path.exists() for path in await uploads)


async def test_a_large_store_is_swept_in_batches(
    datastore: SqlDatastore, store: ImageDirectories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last batch is not forgotten."""
    monkeypatch.setattr(orphan_sweep, "_BATCH", 2)
    workload = await add_workload(datastore)
    recorded = [await record(datastore, store, workload) for _ in range(5)]
    for _ in range(4):
        await leave(store, build_original(workload))
    assert await store.sweep(datastore) == 4
    assert all(path.exists() for path in recorded)


async def test_a_workload_that_is_gone_leaves_no_directory(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Its neighbour of the same name keeps what it has, and one without images its directories."""
    neighbour, empty = [await add_workload(datastore) for _ in range(2)]
    path = await leave(store, build_original(build_workload()))
    kept, _ = [await record(datastore, store, neighbour) for _ in range(2)]
    await leave(store, build_original(empty))
    assert await store.sweep(datastore) == 2
    assert not path.parents[1].exists()
    assert kept.exists()
    assert (root / "holidays" / empty.id / "original").is_dir()


async def test_what_is_no_image_is_left_alone(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Whoever has put something there may have it back."""
    workload = await add_workload(datastore)
    path = await record(datastore, store, workload)
    theirs = [root / "readme.txt", root / "holidays" / "notes", path.parent / "best.png"]
    for file in theirs:
        file.write_bytes(b"")
    staged = await store.stage()
    assert await store.sweep(datastore) == 0
    assert set(theirs) < set(files_below(root))
    await staged.discard()


async def test_a_file_that_cannot_be_opened_does_not_stop_the_sweep(
    datastore: SqlDatastore, store: ImageDirectories
) -> None:
    """The others are moved."""
    workload = await add_workload(datastore)
    await record(datastore, store, workload)
    paths = sorted([await leave(store, build_original(workload)) for _ in range(2)])
    paths[0].unlink()
    paths[0].symlink_to(paths[0])  # A loop.
    assert await store.sweep(datastore) == 1
    assert not paths[1].exists()
    assert paths[0].is_symlink()


async def test_what_is_being_removed_is_no_orphan(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """Whoever removes it has its row removed first."""
    gone, other = [await add_workload(datastore) for _ in range(2)]
    paths = [await record(datastore, store, workload) for workload in (gone, other)]
    await datastore.remove_workload(gone.id, NOW)
    (job,) = await datastore.pending_jobs(other.id, now=NOW, limit=1)
    await datastore.fail_pending([job.id], BROKEN, term=NO_TERM, now=NOW)
    (removed,) = await datastore.remove_settled(other.id, through=1)
    assert store.path(removed) == paths[1]
    assert await store.sweep(datastore) == 0
    assert all(path.exists() for path in paths)


class Away:
    """A datastore that cannot be asked."""

    async def recorded_images(self, image_ids: Collection[str]) -> set[str]:
        raise StorageUnavailable(storage="datastore", reason="it is away")


async def test_nothing_goes_while_the_datastore_is_away(
    datastore: SqlDatastore, store: ImageDirectories, root: Path
) -> None:
    """The error is one that callers expect."""
    path = await leave(store, build_original(await add_workload(datastore)))
    with pytest.raises(StorageUnavailable):
        await store.sweep(cast("Workloads", Away()))
    assert files_below(root) == [path]
