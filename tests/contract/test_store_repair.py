"""What is checked and repaired of an image store and each kind of database."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from PIL import Image as Pillow

from dpip.controller.datastore import SqlDatastore
from dpip.controller.descriptions import describe_workloads
from dpip.controller.image_directories import ImageDirectories
from dpip.controller.orphan_sweep import set_aside
from dpip.controller.store_check import check
from dpip.controller.store_repair import Repaired, repair
from dpip.formats import read_header
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind
from dpip.model.job import FailureCode, JobState
from dpip.model.requirements import Requirements
from dpip.model.workload import Workload
from tests.contract.builders import (
    NO_TERM,
    NOW,
    add_workload,
    build_placement,
    build_user,
    build_workload,
)
from tests.contract.test_image_store import files_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> ImageDirectories:
    return ImageDirectories(root)


def content(number: int) -> bytes:
    written = io.BytesIO()
    Pillow.new("RGB", (4, 3), (number, 0, 0)).save(written, "PNG")
    return written.getvalue()


def image_of(workload: Workload, written: bytes, source_id: str | None = None) -> Image:
    return Image(
        id=new_id(),
        workload_id=workload.id,
        workload_name=workload.name,
        owner_id=workload.owner_id,
        kind=ImageKind.FILTERED if source_id else ImageKind.ORIGINAL,
        header=read_header(io.BytesIO(written)),
        size=len(written),
        sha256=hashlib.sha256(written).hexdigest(),
        created_at=NOW,
        source_id=source_id,
        notes=("frames_dropped",) if source_id else (),
    )


class Side:
    """Image directories and a database that are filled as a system fills them."""

    def __init__(self, root: Path, store: ImageDirectories, datastore: SqlDatastore) -> None:
        self.root = root
        self.store = store
        self.datastore = datastore

    async def keep(self, image: Image, written: bytes) -> Path:
        staged = await self.store.stage()
        await staged.write(written)
        await self.store.keep(staged, image)
        await staged.discard()
        return self.store.path(image)

    async def original(self, workload: Workload, number: int = 1) -> Image:
        image = image_of(workload, content(number))
        await self.keep(image, content(number))
        await self.datastore.add_original(image, new_id())
        return image

    async def result(self, workload: Workload, original: Image, number: int = 101) -> Image:
        job = await self.datastore.job_of_image(original.id)
        assert job
        (held,) = await self.datastore.lease([build_placement(job.id)], term=NO_TERM)
        image = image_of(workload, content(number), original.id)
        await self.keep(image, content(number))
        await self.datastore.complete(held, image, milliseconds=1.0, now=NOW)
        return image

    async def wrong(self, datastore: SqlDatastore | None = None) -> dict[str, str]:
        """What is found wrong, by the image's id."""
        found = await check(self.root, datastore or self.datastore)
        return {each.path.stem: each.wrong.value for each in found.findings}

    async def state(self, original: Image) -> JobState:
        job = await self.datastore.job_of_image(original.id)
        assert job
        return job.state

    async def counts(self, workload: Workload) -> dict[str, int]:
        found = await self.datastore.workload(workload.id)
        assert found
        return {name: n for name, n in msgspec.structs.asdict(found.counts).items() if n}

    async def repair(self) -> Repaired:
        """Repair; every file there was is there still, somewhere."""
        before = sorted(path.read_bytes() for path in files_below(self.root))
        done = await repair(self.root, self.datastore, NOW)
        assert sorted(path.read_bytes() for path in files_below(self.root)) == before
        return done


@pytest.fixture
def side(root: Path, store: ImageDirectories, datastore: SqlDatastore) -> Side:
    return Side(root, store, datastore)


async def test_what_matches_is_left_as_it_is(side: Side) -> None:
    """Neither check nor repair finds anything to do."""
    workload = await add_workload(side.datastore)
    await side.result(workload, await side.original(workload))
    await side.original(workload)
    assert await side.wrong() == {}
    assert await side.repair() == Repaired(rescued=[], left=[])
    assert await side.counts(workload) == {"pending": 1, "done": 1}


def _replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


Spoil = Callable[[Path], object]
SPOILS: dict[str, tuple[str, Spoil]] = {
    "lost": ("missing", Path.unlink),
    "a link": ("missing", _replace_by_link),
    "cut": ("wrong_size", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "changed": ("wrong_hash", lambda path: path.write_bytes(content(7))),
}


@pytest.mark.parametrize("spoil", SPOILS)
async def test_a_lost_result_is_made_again(side: Side, spoil: str) -> None:
    """Its job is pending, and a damaged file is put where nothing removes it."""
    workload = await add_workload(side.datastore)
    original = await side.original(workload)
    result = await side.result(workload, original)
    wrong, do = SPOILS[spoil]
    do(side.store.path(result))
    assert await side.wrong() == {result.id: wrong}
    done = await side.repair()
    assert done.again == 1
    assert await side.state(original) is JobState.PENDING
    assert await side.counts(workload) == {"pending": 1}
    assert await side.datastore.image(result.id) is None
    assert len(done.rescued) == (wrong != "missing")
    assert await side.wrong() == {}
    again = await side.result(workload, original)
    assert await side.counts(workload) == {"done": 1}
    assert (await side.datastore.usage(workload.owner_id)).stored_bytes == (
        original.size + again.size
    )


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("is_leased", [False, True])
async def test_a_lost_original_fails_its_job(side: Side, spoil: str, is_leased: bool) -> None:
    """With a code, and once; its lease ends."""
    workload = await add_workload(side.datastore)
    original, other = await side.original(workload), await side.original(workload)
    if is_leased:
        job = await side.datastore.job_of_image(original.id)
        assert job
        await side.datastore.lease([build_placement(job.id)], term=NO_TERM)
    wrong, do = SPOILS[spoil]
    do(side.store.path(original))
    assert await side.wrong() == {original.id: wrong}
    assert (await side.repair()).failed == 1
    (failed,) = await side.datastore.failed_jobs(workload.id)
    assert failed.image_id == original.id
    assert failed.failure
    assert failed.failure.code is FailureCode.ORIGINAL_UNAVAILABLE
    assert await side.counts(workload) == {"pending": 1, "failed": 1}
    assert await side.state(other) is JobState.PENDING
    assert await side.datastore.leases() == []
    assert await side.wrong() == {}
    assert (await side.repair()).failed == 0


async def test_a_lost_original_leaves_its_result(side: Side) -> None:
    """That cannot be put right, and is said each time."""
    workload = await add_workload(side.datastore)
    original = await side.original(workload)
    await side.result(workload, original)
    side.store.path(original).unlink()
    done = await side.repair()
    assert [each.image for each in done.left] == [original]
    assert await side.state(original) is JobState.DONE
    assert await side.wrong() == {original.id: "missing"}


@pytest.mark.parametrize("is_described_later", [False, True])
@pytest.mark.parametrize("is_set_aside", [False, True])
async def test_a_lost_database_is_made_again_from_the_files(
    side: Side, new_datastore: SqlDatastore, is_set_aside: bool, is_described_later: bool
) -> None:
    """Workloads, originals and results, with what they were; also after a sweep has moved them."""
    alice = build_user("alice")
    await side.datastore.add_user(alice)
    workload = msgspec.structs.replace(
        build_workload(alice.id, "a/b: ü"), requirements=Requirements(tags=("gpu",), priority=3)
    )
    await side.datastore.add_workload(workload)
    if not is_described_later:
        await side.store.describe(workload, "alice")
    finished, waiting = await side.original(workload, 1), await side.original(workload, 2)
    result = await side.result(workload, finished)
    if is_described_later:
        for note in side.store.path(result).parents[1].glob(".*"):
            note.unlink()
        await describe_workloads(side.datastore, side.store)
    if is_set_aside:
        for image in (finished, waiting, result):
            set_aside(side.root, side.store.path(image), NOW)

    anew = build_user("alice")
    await new_datastore.add_user(anew)
    side.datastore = new_datastore
    done = await side.repair()
    assert done == Repaired(
        brought_back=3 * is_set_aside, workloads=1, originals=2, results=1, rescued=[], left=[]
    )
    found = await new_datastore.workload(workload.id)
    assert found
    assert (found.name, found.owner_id) == (workload.name, anew.id)
    assert (found.pipeline, found.requirements) == (workload.pipeline, workload.requirements)
    for image in (finished, waiting, result):
        again = await new_datastore.image(image.id)
        assert again
        assert (again.header, again.sha256, again.size) == (image.header, image.sha256, image.size)
        assert (again.source_id, again.notes) == (image.source_id, image.notes)
    assert await new_datastore.filtered_image_ids(workload.id) == [result.id]
    assert await side.state(waiting) is JobState.PENDING
    assert await side.counts(workload) == {"pending": 1, "done": 1}
    assert await side.wrong() == {}
    assert await side.store.sweep(new_datastore) == 0


async def test_lost_rows_come_back_into_their_workload(side: Side) -> None:
    """A result finishes the job of its original."""
    workload = await add_workload(side.datastore)
    await side.store.describe(workload, None)
    original = await side.original(workload)
    result = image_of(workload, content(9), original.id)
    await side.keep(result, content(9))
    other = image_of(workload, content(10))
    await side.keep(other, content(10))
    assert await side.wrong() == {result.id: "without_row", other.id: "without_row"}
    done = await side.repair()
    assert (done.originals, done.results, done.workloads) == (1, 1, 0)
    assert await side.counts(workload) == {"pending": 1, "done": 1}
    (settled,) = await side.datastore.settled_jobs(workload.id, after=0, limit=10)
    assert settled.filtered_image_id == result.id


async def test_what_cannot_be_used_is_kept_apart(side: Side) -> None:
    """A picture without a workload, a result too many or of nothing, and what is no picture."""
    workload = await add_workload(side.datastore)
    original = await side.original(workload)
    await side.result(workload, original)
    too_many = image_of(workload, content(9), original.id)
    of_nothing = image_of(workload, content(10), new_id())
    no_picture = image_of(workload, content(11))
    stray = image_of(build_workload(), content(12))
    paths = [await side.keep(each, content(20)) for each in (too_many, of_nothing, stray)]
    paths.append(await side.keep(no_picture, b"no picture"))
    folder = side.store.path(image_of(workload, content(13)))
    folder.mkdir()
    paths.append(folder)
    done = await side.repair()
    assert sorted(path.name for path in done.rescued) == sorted(path.name for path in paths)
    assert all(path.exists() for path in done.rescued)
    assert await side.wrong() == {}
    assert await side.store.sweep(side.datastore) == 0
    assert await side.repair() == Repaired(rescued=[], left=[])


async def test_what_was_removed_does_not_come_back(side: Side) -> None:
    """Though its files are there still, or were moved aside."""
    workload = await add_workload(side.datastore)
    await side.store.describe(workload, None)
    original = await side.original(workload)
    await side.datastore.remove_workload(workload.id, NOW)
    assert await side.wrong() == {}
    await side.repair()
    assert await side.datastore.workload(workload.id) is None
    assert side.store.path(original).exists()


async def test_an_older_database_gets_what_came_since(side: Side) -> None:
    """Of a backup: newer files get rows, what is newer and removed has failed jobs."""
    workload = await add_workload(side.datastore)
    await side.store.describe(workload, None)
    old = await side.original(workload, 1)
    new = image_of(workload, content(2))
    await side.keep(new, content(2))
    side.store.path(old).unlink()
    done = await side.repair()
    assert (done.originals, done.failed) == (1, 1)
    assert await side.counts(workload) == {"pending": 1, "failed": 1}
    assert await side.state(new) is JobState.PENDING
