"""What a child that is taken over can hold, and for how long."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.model.job import FailureCode
from dpip.worker.seccomp import can_give_up_calls
from dpip.worker.slot import Slot, SlotFailure
from tests.integration.worker.taken_over import take_over_children

MEMORY = 256 << 20
PATIENCE = 60.0
IN_MEMORY = Path("/dev/shm")

pytestmark = pytest.mark.skipif(not can_give_up_calls(), reason="no seccomp filter is known here")

REFUSED = {
    "a file in memory": "os.memfd_create('it')",
    "shared memory of no file": "mmap.mmap(-1, 1024 * MIB)",
    "huge pages": "mmap.mmap(-1, 2 * MIB, 0x40022)",
    "a stack of its own": "mmap.mmap(-1, MIB, 0x122)",
    "shared memory by a key": "if libc.shmget(0, 1024 * MIB, 0o1600) < 0: raise "
    "OSError(os.strerror(ctypes.get_errno()))",
    "a pipe": "os.pipe()",
    "a pair of sockets": "socket.socketpair()",
    "a nameless file": "os.open('room', os.O_RDWR | os.O_TMPFILE)",
    "a file that has lost its name": "open('room/it', 'w'); os.unlink('room/it')",
    "another descriptor beyond the 64": "for at in range(64): os.dup(0)",
}
WORDS = ("not permitted", "not supported", "Too many open", "No such file")
STOPPED = {
    "memory of its own": "held = b'x' * (1024 * MIB)",
    "pages of pages": "held = mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | 0x4000, mmap.PROT_READ)\n"
    "for at in range(0, 1 << 40, 2 * MIB): held[at]\n"
    "wait()",
    "threads": "threading.stack_size(1 << 15)\n"
    "for at in range(2000): threading.Thread(target=wait).start()\nwait()",
    "names of files": "for at in range(100_000): open(f'room/{at}', 'w')\nwait()",
}
STOPPED_IN_MEMORY = {
    "files in memory": "for at in range(32):\n"
    "  with open(f'room/{at}', 'wb') as file: file.write(bytes(32 * MIB))\n"
    "wait()",
    "a file in memory that is mapped": "with open('room/it', 'wb') as file:\n"
    "  file.truncate(1024 * MIB)\n"
    "with open('room/it', 'r+b') as file: held = mmap.mmap(file.fileno(), 0)\n"
    "for at in range(0, 1024 * MIB, 4096): held[at] = 1\n"
    "wait()",
    "its last words": "for at in range(1024): os.write(2, bytes(MIB))\nwait()",
}


@pytest.fixture(params=["on a disk", "in memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "on a disk":
        yield tmp_path
        return
    if not IN_MEMORY.is_dir():
        pytest.skip(f"there is no {IN_MEMORY}")
    directory = Path(tempfile.mkdtemp(dir=IN_MEMORY))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
async def slot(place: Path) -> AsyncIterator[Slot]:
    slot = Slot(place)
    yield slot
    await slot.close()


async def attacked(slot: Slot, place: Path) -> SlotFailure:
    source = place / "source"
    source.write_bytes(b"bytes of a stranger")
    with pytest.raises(SlotFailure) as caught:
        await slot.filter(
            source,
            place / "target",
            encode_pipeline(parse_pipeline("blur")),
            PictureFormat.PNG,
            memory_limit=MEMORY,
            time_limit=PATIENCE,
        )
    return caught.value


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("place", ["on a disk"], indirect=True)
async def test_memory_that_nobody_would_count_is_refused(
    slot: Slot, place: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """Each of these is memory beside that of the process, or hides it."""
    take_over_children(monkeypatch, attack=f"{attack}\nwait()")
    failure = (await attacked(slot, place)).failure
    assert failure.code is FailureCode.FILTER_FAILED
    assert any(words in failure.reason for words in WORDS)


@pytest.mark.parametrize("attack", STOPPED.values(), ids=STOPPED)
@pytest.mark.parametrize("place", ["on a disk"], indirect=True)
async def test_a_child_that_holds_too_much_is_stopped(
    slot: Slot, place: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """Whatever it is that it holds."""
    take_over_children(monkeypatch, attack=attack)
    failure = (await attacked(slot, place)).failure
    assert failure.code in (FailureCode.OUT_OF_MEMORY, FailureCode.CRASHED)
    assert "MiB of memory" in failure.reason or "more than" in failure.reason


@pytest.mark.parametrize("attack", STOPPED_IN_MEMORY.values(), ids=STOPPED_IN_MEMORY)
@pytest.mark.parametrize("place", ["in memory"], indirect=True)
async def test_files_count_as_memory_where_they_are(
    slot: Slot, place: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """As in a temporary directory that is a tmpfs; nothing of them is left."""
    take_over_children(monkeypatch, attack=attack)
    assert (await attacked(slot, place)).failure.code is FailureCode.OUT_OF_MEMORY
    await slot.close()
    assert list(place.iterdir()) == []


async def test_an_idle_child_is_watched_too(
    slot: Slot, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has answered, and goes on behind its answer."""
    attack = (
        "def later():\n"
        "  threading.stack_size(1 << 15)\n"
        "  for at in range(2000): threading.Thread(target=wait).start()\n"
        "threading.Thread(target=later).start()\n"
        "raise OSError('answered')"
    )
    take_over_children(monkeypatch, attack=attack)
    await slot.start()
    first = slot.pid
    assert first is not None
    assert (await attacked(slot, place)).failure.reason == "answered"
    async with asyncio.timeout(PATIENCE):
        while slot.pid in (None, first) or psutil.pid_exists(first):
            await asyncio.sleep(0.05)
