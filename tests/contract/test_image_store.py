"""What ``dpip.ports.image_store`` promises, on image directories."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dpip.controller.image_directories import ImageDirectories
from dpip.errors import ImageDamaged, StorageFull, StorageUnavailable
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind, PictureFormat
from dpip.model.image_place import directory_name
from tests.contract.builders import build_filtered, build_original, build_workload
from tests.contract.small_disk import SmallDisk, small_disk

__all__ = ["small_disk"]

BLOCK = 128 * 1024
MEBIBYTE = 1024 * 1024
CONTENT = bytes(range(256)) * 10
HOLD_UNTIL_TOLD = """
import fcntl, sys
file = open(sys.argv[1], "xb")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""
NASTY_NAMES = [
    "",
    ".",
    "..",
    "...",
    "../..",
    "/",
    "/etc/passwd",
    "a/../../b",
    "\\",
    "~",
    " ",
    " ..",
    " . ",
    " .staging",
    ".staging",
    "\t..",
    "\u2003..",
    "..\u200b",
    "a\nb",
    "\0",
    "a\0/../b",
    "%2e%2e%2f",
    "x" * 5000,
    "名" * 300,
    "/" * 300,
    "💐" * 100,
    "e\u0301",
    "\ud800",
    "\u202e..",
    " " * 200 + "..",
    "x" * 149 + " .",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "images"


@pytest.fixture
def store(root: Path) -> ImageDirectories:
    return ImageDirectories(root)


def image_of(content: bytes = CONTENT, name: str = "holidays") -> Image:
    return build_original(build_workload(name=name), content)


async def put(store: ImageDirectories, image: Image, content: bytes = CONTENT) -> None:
    staged = await store.stage()
    await staged.write(content)
    await store.keep(staged, image)
    await staged.discard()


async def read(
    store: ImageDirectories, image: Image, start: int = 0, length: int | None = None
) -> bytes:
    return b"".join([block async for block in store.read(image, start, length)])


def files_below(root: Path) -> list[Path]:
    """Pictures, without what the store notes beside them."""
    return [path for path in root.rglob("*") if path.is_file() and path.name[0] != "."]


# In


@pytest.mark.parametrize("size", [0, 1, MEBIBYTE - 1, MEBIBYTE, 2 * MEBIBYTE + 1])
async def test_bytes_come_out_as_they_went_in(store: ImageDirectories, size: int) -> None:
    """Empty, small and large ones alike."""
    content = os.urandom(size)
    image = image_of(content)
    await put(store, image, content)
    assert await read(store, image) == content


async def test_a_staged_file_knows_size_and_hash(store: ImageDirectories) -> None:
    """They are right after every chunk, however large it is."""
    staged = await store.stage()
    written = b""
    for chunk in (b"", b"abc", os.urandom(MEBIBYTE), b"d"):
        await staged.write(chunk)
        written += chunk
        assert staged.size == len(written)
        assert staged.sha256 == hashlib.sha256(written).hexdigest()


async def test_a_staged_file_can_be_read(store: ImageDirectories) -> None:
    """All that was written so far is there, and writing goes on behind it."""
    staged = await store.stage()
    image = image_of(b"abcdef")
    await staged.write(b"abc")
    with staged.open() as file:
        assert file.read() == b"abc"
    await staged.write(b"def")
    await store.keep(staged, image)
    assert await read(store, image) == b"abcdef"


async def test_staged_bytes_are_invisible_until_kept(store: ImageDirectories, root: Path) -> None:
    """No directory of a workload is there, and the image cannot be read."""
    image = image_of()
    staged = await store.stage()
    await staged.write(CONTENT)
    with staged.open():
        pass
    with pytest.raises(ImageDamaged):
        await read(store, image)
    assert [path.name for path in root.iterdir()] == [".staging"]
    await store.keep(staged, image)
    assert await read(store, image) == CONTENT


async def test_a_kept_file_leaves_the_staging_area(store: ImageDirectories, root: Path) -> None:
    """The bytes lie in one place."""
    image = image_of()
    await put(store, image)
    assert files_below(root) == [store.path(image)]


async def test_images_lie_below_their_workload(store: ImageDirectories, root: Path) -> None:
    """The path is made of name, id, kind and the image's id with the suffix of its format."""
    original = image_of()
    filtered = build_filtered(original)
    await put(store, original)
    await put(store, filtered)
    workload = root / "holidays" / original.workload_id
    assert sorted(files_below(root)) == [
        workload / "filtered" / f"{filtered.id}.tiff",
        workload / "original" / f"{original.id}.tiff",
    ]


@pytest.mark.parametrize("picture_format", PictureFormat)
def test_a_file_has_the_suffix_of_its_format(
    store: ImageDirectories, picture_format: PictureFormat
) -> None:
    """A person can open what lies there."""
    image = image_of()
    header = msgspec.structs.replace(image.header, format=picture_format)
    path = store.path(msgspec.structs.replace(image, header=header))
    assert path.suffix == picture_format.suffix


async def test_discard_leaves_nothing(store: ImageDirectories, root: Path) -> None:
    """Neither with bytes nor without, and a second time does nothing."""
    for content in (b"", CONTENT, os.urandom(2 * MEBIBYTE)):
        staged = await store.stage()
        await staged.write(content)
        await staged.discard()
        await staged.discard()
    assert files_below(root) == []


async def test_a_staging_directory_that_was_removed_is_made_again(
    store: ImageDirectories, root: Path
) -> None:
    """Bytes come in as before."""
    (root / ".staging").rmdir()
    image = image_of()
    await put(store, image)
    assert await read(store, image) == CONTENT


async def test_discard_after_keep_is_harmless(store: ImageDirectories) -> None:
    """What was kept stays."""
    image = image_of()
    staged = await store.stage()
    await staged.write(CONTENT)
    await store.keep(staged, image)
    await staged.discard()
    assert await read(store, image) == CONTENT


async def test_many_images_come_in_at_once(store: ImageDirectories) -> None:
    """They do not get into each other's way, in one new workload too."""
    workload = build_workload()
    contents = [os.urandom(1000) for _ in range(20)]
    images = [build_original(workload, content) for content in contents]
    await asyncio.gather(*map(put, [store] * 20, images, contents))
    assert await asyncio.gather(*(read(store, image) for image in images)) == contents


async def test_a_failed_keep_leaves_nothing_after_discard(
    store: ImageDirectories, root: Path
) -> None:
    """Where the workload's directory cannot be made, no bytes stay."""
    image = image_of(name="in the way")
    (root / "in the way").write_bytes(b"a file")
    staged = await store.stage()
    await staged.write(CONTENT)
    with pytest.raises(StorageUnavailable):
        await store.keep(staged, image)
    await staged.discard()
    assert files_below(root) == [root / "in the way"]


async def test_a_keep_that_is_not_durable_is_undone(
    store: ImageDirectories, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a directory cannot be synced, the bytes are not left behind in it."""
    staged = await store.stage()
    await staged.write(CONTENT)

    def fail(_directory: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("dpip.controller.image_directories.sync_directory", fail)
    with pytest.raises(StorageUnavailable):
        await store.keep(staged, image_of())
    await staged.discard()
    assert files_below(root) == []


async def test_of_several_at_once_each_is_kept_or_fails_by_itself(
    store: ImageDirectories, root: Path
) -> None:
    """What is in the way of one is not in the way of the others."""
    (root / "in the way").write_bytes(b"a file")
    images = [image_of(name="in the way"), *(image_of() for _ in range(3))]
    staged = [await store.stage() for _ in images]
    for each in staged:
        await each.write(CONTENT)
    kept = await asyncio.gather(*map(store.keep, staged, images), return_exceptions=True)
    for each in staged:
        await each.discard()
    assert isinstance(kept[0], StorageUnavailable)
    assert kept[1:] == [None] * 3
    assert sorted(files_below(root)) == sorted([root / "in the way", *map(store.path, images[1:])])


async def test_a_directory_is_synced_once_for_all_that_come_in_together(
    store: ImageDirectories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all of them are in it."""
    workload = build_workload()
    images = [build_original(workload, CONTENT) for _ in range(3)]
    staged = [await store.stage() for _ in images]
    there = []
    monkeypatch.setattr(
        "dpip.controller.image_directories.sync_directory",
        lambda directory: there.append(len(list(directory.iterdir()))),
    )
    await asyncio.gather(*map(store.keep, staged, images))
    for each in staged:
        await each.discard()
    assert there[0] == len(images)
    assert there.count(len(images)) == 1


async def test_a_kept_file_and_its_directories_are_synced(
    store: ImageDirectories, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before it is visible, then every directory that gained an entry."""
    synced = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("which file is synced can be seen on Linux only")
    monkeypatch.setattr(os, "fsync", note)
    image = image_of()
    await put(store, image)
    first, *directories = synced
    assert first.parent == root / ".staging"
    target = store.path(image)
    assert set(directories) == set(target.parents[:3]) | {root}


# Out


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, None), (1, None), (0, 5), (7, 5), (MEBIBYTE - 1, 2), (10, MEBIBYTE + 3), (0, 0)],
)
async def test_a_range_is_read(store: ImageDirectories, start: int, length: int | None) -> None:
    """Exactly the bytes asked for come, across blocks too."""
    content = os.urandom(2 * MEBIBYTE + 100)
    image = image_of(content)
    await put(store, image, content)
    end = None if length is None else start + length
    assert await read(store, image, start, length) == content[start:end]


async def test_large_images_come_in_blocks(store: ImageDirectories) -> None:
    """No more than 128 KiB of an image is in memory at once."""
    content = os.urandom(3 * BLOCK + 1)
    image = image_of(content)
    await put(store, image, content)
    assert [len(block) async for block in store.read(image)] == [BLOCK, BLOCK, BLOCK, 1]


async def test_missing_bytes_are_damage(store: ImageDirectories) -> None:
    """An image without its file raises ``ImageDamaged``."""
    with pytest.raises(ImageDamaged, match="missing"):
        await read(store, image_of())


async def test_bytes_that_are_cut_short_are_damage(store: ImageDirectories) -> None:
    """Of images of any size, and of their parts, not a byte is given out."""
    for size in (len(CONTENT), 3 * BLOCK, MEBIBYTE + 1):
        content = os.urandom(size)
        image = image_of(content)
        await put(store, image, content)
        for left in (size - 1, size // 2, 0):
            os.truncate(store.path(image), left)
            for part in ((), (0, 10), (5, 1)):
                with pytest.raises(ImageDamaged, match="cut short"):
                    await anext(store.read(image, *part))


@pytest.mark.parametrize("size", [1, MEBIBYTE + 1])
async def test_more_bytes_than_were_kept_are_damage(store: ImageDirectories, size: int) -> None:
    """Though their beginning is what was kept."""
    content = os.urandom(size)
    image = image_of(content)
    await put(store, image, content)
    with store.path(image).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ImageDamaged, match="not those that were kept"):
        await anext(store.read(image))


@pytest.mark.parametrize("levels", range(4))
async def test_a_link_in_the_place_of_an_image_is_not_followed(
    store: ImageDirectories, root: Path, tmp_path: Path, levels: int
) -> None:
    """Nor one in the place of a directory above it, though the same bytes lie there."""
    image = image_of()
    await put(store, image)
    replaced = [store.path(image), *store.path(image).parents][levels]
    assert replaced.parent.is_relative_to(root)
    replaced.rename(tmp_path / "elsewhere")
    replaced.symlink_to(tmp_path / "elsewhere")
    for part in ((), (0, 1)):
        with pytest.raises(ImageDamaged, match="behind a symbolic link"):
            await anext(store.read(image, *part))
    if levels:
        neighbour = msgspec.structs.replace(image, id=new_id())
        staged = await store.stage()
        with pytest.raises(StorageUnavailable):
            await store.keep(staged, neighbour)
        await staged.discard()
        assert not list((tmp_path / "elsewhere").rglob(f"{neighbour.id}*"))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_only_a_regular_file_is_an_image(
    store: ImageDirectories, make: Callable[[Path], None]
) -> None:
    """Nobody waits for a pipe."""
    image = image_of()
    await put(store, image)
    store.path(image).unlink()
    make(store.path(image))
    with pytest.raises(ImageDamaged, match="not in a regular file"):
        await anext(store.read(image))


@pytest.mark.parametrize("size", [1, BLOCK, BLOCK + 1, MEBIBYTE, MEBIBYTE + 1, 2 * MEBIBYTE])
@pytest.mark.parametrize("place", ["first", "last"])
async def test_a_flipped_bit_is_damage(store: ImageDirectories, size: int, place: str) -> None:
    """Of a small image nothing is given out, of one beyond a mebibyte not its last block."""
    content = os.urandom(size)
    image = image_of(content)
    await put(store, image, content)
    with store.path(image).open("r+b") as file:
        file.seek(0 if place == "first" else size - 1)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    blocks = store.read(image)
    if size > MEBIBYTE:
        for _ in range((size - 1) // BLOCK):
            await anext(blocks)
    with pytest.raises(ImageDamaged, match="not those that were kept"):
        await anext(blocks)


@pytest.mark.parametrize("start", [0, 1, MEBIBYTE])
async def test_a_flipped_bit_is_damage_to_every_part(store: ImageDirectories, start: int) -> None:
    """Not a byte of it is given out, wherever the bit is."""
    content = os.urandom(MEBIBYTE + 2)
    image = image_of(content)
    await put(store, image, content)
    with store.path(image).open("r+b") as file:
        file.write(bytes([content[0] ^ 1]))
    with pytest.raises(ImageDamaged, match="not those that were kept"):
        await anext(store.read(image, start, 1))


async def test_a_removed_image_is_gone(store: ImageDirectories, root: Path) -> None:
    """Its neighbour stays, and removing it again does nothing."""
    image = image_of()
    neighbour = build_filtered(image)
    neighbour = msgspec.structs.replace(neighbour, size=len(CONTENT))
    await put(store, image)
    await put(store, neighbour)
    await store.remove(image)
    await store.remove(image)
    assert files_below(root) == [store.path(neighbour)]
    assert neighbour.kind is ImageKind.FILTERED


# Opening


async def test_what_a_dead_process_left_is_swept(root: Path) -> None:
    """A staged file that nobody holds is removed when the store is opened."""
    staging = root / ".staging"
    staging.mkdir(parents=True)
    (staging / "leftover").write_bytes(CONTENT)
    ImageDirectories(root)
    assert files_below(root) == []


async def test_what_a_living_process_stages_stays(store: ImageDirectories, root: Path) -> None:
    """Another process that opens the store sweeps round it."""
    staged = await store.stage()
    await staged.write(CONTENT)
    (root / ".staging" / "leftover").write_bytes(CONTENT)
    other = ImageDirectories(root)
    assert len(files_below(root)) == 1
    image = image_of()
    await store.keep(staged, image)
    assert await read(other, image) == CONTENT


def test_a_file_locked_by_another_process_stays(root: Path) -> None:
    """The lock is what tells the living from the dead, and it ends with its process."""
    staged = root / ".staging" / "theirs"
    staged.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_UNTIL_TOLD, staged],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        ImageDirectories(root)
        assert staged.exists()
        process.kill()
    ImageDirectories(root)
    assert not staged.exists()


async def test_opening_keeps_what_was_kept(store: ImageDirectories, root: Path) -> None:
    """Only the staging area is swept."""
    image = image_of()
    await put(store, image)
    assert await read(ImageDirectories(root), image) == CONTENT


def test_a_root_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """The error is one that callers expect."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        ImageDirectories(tmp_path / "file" / "images")


# Names


@pytest.mark.parametrize("name", NASTY_NAMES, ids=ascii)
async def test_an_image_stays_below_the_root_whatever_its_workloads_name(
    store: ImageDirectories, root: Path, tmp_path: Path, name: str
) -> None:
    """It lies four levels below, outside of the staging area, and can be read."""
    image = image_of(name=name)
    await put(store, image)
    (file,) = files_below(tmp_path)
    parts = file.relative_to(root).parts
    assert len(parts) == 4
    assert parts[0] != ".staging"
    assert await read(store, image) == CONTENT


@given(st.text(st.characters(exclude_categories=())))
@example(" ..")
@example(" .")
@example(" .staging")
def test_a_name_is_one_safe_segment(name: str) -> None:
    """It is short, printable, hidden from nobody, and leads nowhere else."""
    segment = directory_name(name)
    assert 0 < len(segment.encode()) <= 255
    assert not segment.startswith(".")
    assert "/" not in segment
    assert "\0" not in segment
    assert segment.isprintable()
    assert segment == segment.strip()
    assert Path("/root", segment).resolve().parent == Path("/root")


@given(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=30))
def test_a_plain_name_is_kept(name: str) -> None:
    """People find their workload by it."""
    assert directory_name(name) == name


# A full disk


async def test_a_full_disk_is_told_and_left_clean(small_disk: SmallDisk) -> None:
    """``StorageFull`` is raised, nothing stays, and with room again the same bytes are kept."""
    store = ImageDirectories(small_disk.path / "images")
    content = os.urandom(small_disk.size // 2)
    image = image_of(content)
    small_disk.fill()
    staged = await store.stage()
    with pytest.raises(StorageFull):
        await staged.write(content)
    await staged.discard()
    assert files_below(store.path(image).parents[3]) == []
    small_disk.make_room()
    await put(store, image, content)
    assert await read(store, image) == content


async def test_a_full_disk_is_told_for_a_small_picture(small_disk: SmallDisk) -> None:
    """Bytes that are few enough to be held back find out when they are kept."""
    store = ImageDirectories(small_disk.path / "images")
    image = image_of()
    small_disk.fill()
    staged = await store.stage()
    await staged.write(CONTENT)
    with pytest.raises(StorageFull):
        await store.keep(staged, image)
    await staged.discard()
    assert files_below(small_disk.path / "images") == []
    small_disk.make_room()
    await put(store, image)
    assert await read(store, image) == CONTENT


@pytest.mark.parametrize("look", ["open", "sha256"])
async def test_a_full_disk_is_told_to_whoever_looks(small_disk: SmallDisk, look: str) -> None:
    """Reading what was staged writes it first, which may fail in the same way."""
    store = ImageDirectories(small_disk.path / "images")
    small_disk.fill()
    staged = await store.stage()
    await staged.write(CONTENT)
    with pytest.raises(StorageFull):
        staged.open() if look == "open" else staged.sha256
    await staged.discard()


async def test_a_removed_workload_leaves_no_bytes(store: ImageDirectories, root: Path) -> None:
    """And can be written to again, as durably as the first time."""
    image, neighbour = image_of(), image_of()
    await put(store, image)
    await put(store, neighbour)
    await store.remove_workload(image.workload_name, image.workload_id)
    assert not [path for path in root.rglob("*") if image.workload_id in path.parts]
    assert await read(store, neighbour) == CONTENT
    await store.remove_workload(image.workload_name, image.workload_id)
    await put(store, image)
    assert await read(store, image) == CONTENT
