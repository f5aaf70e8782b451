import asyncio
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from dpip.errors import DpipError
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.model.job import FailureCode
from dpip.worker.child_messages import LENGTH, LONGEST_ANSWER
from dpip.worker.slot import FilteredPicture, Slot, SlotFailure

MEMORY = 1024 * 1024 * 1024
PATIENCE = 60.0


class Pictures:
    """A small and a large picture, where their results go, and room for a slot beside them."""

    def __init__(self, directory: Path) -> None:
        import pyvips

        self.directory = directory
        self.copies = itertools.count()
        self.small, self.large = directory / "small.png", directory / "large.png"
        self.target = directory / "target.png"
        pyvips.Image.black(40, 30, bands=3).pngsave(str(self.small))
        pyvips.Image.black(6000, 6000, bands=3).pngsave(str(self.large), compression=1)

    async def filter(
        self,
        slot: Slot,
        source: Path,
        *,
        pipeline: str = "blur",
        memory_limit: int = MEMORY,
        time_limit: float = PATIENCE,
    ) -> FilteredPicture:
        copy = self.directory / f"copy-{next(self.copies)}"  # A slot uses up what it filters.
        shutil.copyfile(source, copy)
        return await slot.filter(
            copy,
            self.target,
            encode_pipeline(parse_pipeline(pipeline)),
            PictureFormat.PNG,
            memory_limit=memory_limit,
            time_limit=time_limit,
        )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return Pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
async def slot(pictures: Pictures) -> AsyncIterator[Slot]:
    slot = Slot(pictures.directory)
    await slot.start()
    yield slot
    await slot.close()


async def until_at_work(pictures: Pictures, pid: int) -> None:
    """Wait until the child has opened the large picture."""

    def at_work() -> bool:
        return any(
            file.path.startswith(f"{pictures.directory}/child-")
            for file in psutil.Process(pid).open_files()
        )

    async with asyncio.timeout(PATIENCE):
        while not at_work():
            await asyncio.sleep(0.005)


async def assert_replaced(slot: Slot, pictures: Pictures, pid: int) -> None:
    assert not psutil.pid_exists(pid)
    assert not pictures.target.exists()
    filtered = await pictures.filter(slot, pictures.small)
    assert (filtered.header.width, filtered.header.height) == (40, 30)
    assert slot.pid != pid


def warm_pid(slot: Slot) -> int:
    assert slot.pid is not None
    return slot.pid


async def test_pictures_in_a_row_go_through_one_child(slot: Slot, pictures: Pictures) -> None:
    """The child stays warm from one picture to the next."""
    pid = warm_pid(slot)
    for _ in range(10):
        assert (await pictures.filter(slot, pictures.small)).cost.milliseconds > 0
    assert slot.pid == pid
    pictures.target.unlink()


async def test_a_larger_picture_costs_more(slot: Slot, pictures: Pictures, tmp_path: Path) -> None:
    """More time and more memory; what comes after it costs as little as before."""
    import pyvips

    noise = tmp_path / "noise.png"
    grey = pyvips.Image.gaussnoise(3000, 3000)
    # Turned, so that all of it is in memory.
    large = grey.bandjoin([grey, grey]).cast("uchar").copy()
    large.set_type(pyvips.GValue.gint_type, "orientation", 6)
    large.pngsave(str(noise), compression=1)
    before, large, after = [
        (await pictures.filter(slot, picture)).cost
        for picture in (pictures.small, noise, pictures.small)
    ]
    for small in (before, after):
        assert 0 < small.milliseconds < large.milliseconds
        assert 0 < small.cpu_milliseconds < large.cpu_milliseconds
        assert 0 < small.memory < large.memory
    assert after.memory - before.memory < (large.memory - before.memory) / 3
    pictures.target.unlink()


async def test_memory_is_measured_without_the_kernel(
    slot: Slot, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not tell the peak, by what was seen of the child meanwhile."""
    assert slot._coming is not None
    memory = slot._coming.result().memory
    monkeypatch.setattr(memory, "_files", pictures.directory / "nowhere")
    occupied = memory.now()
    cost = (await pictures.filter(slot, pictures.small)).cost
    assert occupied / 2 < cost.memory < occupied * 2
    pictures.target.unlink()


async def test_a_damaged_picture_fails_and_the_child_stays(
    slot: Slot, pictures: Pictures, tmp_path: Path
) -> None:
    """A picture that cannot be decoded is no fault of the child."""
    pid = warm_pid(slot)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(pictures.large.read_bytes()[:5000])
    with pytest.raises(SlotFailure) as caught:
        await pictures.filter(slot, damaged)
    assert caught.value.failure.code is FailureCode.DECODE_FAILED
    assert slot.pid == pid
    assert not pictures.target.exists()


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (signal.SIGSEGV, FailureCode.CRASHED, "SIGSEGV"),
        (signal.SIGXCPU, FailureCode.TIMED_OUT, "not done within 60 s"),
    ],
)
async def test_a_child_ended_by_the_kernel_fails_the_picture_and_is_replaced(
    slot: Slot, pictures: Pictures, number: signal.Signals, code: FailureCode, reason: str
) -> None:
    """The failure names the signal, or what it means: SIGXCPU is a limit of CPU seconds."""
    pid = warm_pid(slot)
    work = asyncio.create_task(pictures.filter(slot, pictures.large))
    await until_at_work(pictures, pid)
    os.kill(pid, number)
    with pytest.raises(SlotFailure) as caught:
        await work
    assert caught.value.failure.code is code
    assert reason in caught.value.failure.reason
    await assert_replaced(slot, pictures, pid)


async def test_an_answer_that_is_too_long_is_not_waited_for(slot: Slot, pictures: Pictures) -> None:
    """A child that was taken over cannot fill the worker's memory."""
    pid = warm_pid(slot)
    assert slot._coming is not None
    slot._coming.result()._answers.feed_data(LENGTH.pack(LONGEST_ANSWER + 1))
    with pytest.raises(SlotFailure, match="65537 bytes, which is too long") as caught:
        await pictures.filter(slot, pictures.small)
    assert caught.value.failure.code is FailureCode.CRASHED
    await assert_replaced(slot, pictures, pid)


async def test_a_child_that_hangs_is_killed_at_its_time_limit(
    slot: Slot, pictures: Pictures
) -> None:
    """The failure names the limit."""
    pid = warm_pid(slot)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SlotFailure) as caught:
        await pictures.filter(slot, pictures.small, time_limit=0.2)
    assert caught.value.failure.code is FailureCode.TIMED_OUT
    assert "0.2 s" in caught.value.failure.reason
    await assert_replaced(slot, pictures, pid)


@pytest.mark.parametrize("memory_limit", [10 * 1024 * 1024, 70 * 1024 * 1024])
async def test_a_picture_that_eats_memory_is_stopped(
    slot: Slot, pictures: Pictures, memory_limit: int, tmp_path: Path
) -> None:
    """The failure names the limit, whether the watch or the kernel saw it first."""
    import pyvips

    pid = warm_pid(slot)
    hungry = tmp_path / "hungry.png"  # Turned upright, so that all of it has to be in memory.
    image = pyvips.Image.black(5000, 5000, bands=3).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.pngsave(str(hungry), compression=1)
    with pytest.raises(SlotFailure) as caught:
        await pictures.filter(slot, hungry, memory_limit=memory_limit)
    assert caught.value.failure.code is FailureCode.OUT_OF_MEMORY
    await pictures.filter(slot, pictures.small)
    pictures.target.unlink()
    assert pid


async def test_giving_up_on_a_picture_replaces_the_child(slot: Slot, pictures: Pictures) -> None:
    """After a cancellation no late answer is taken for that of the next picture."""
    pid = warm_pid(slot)
    work = asyncio.create_task(pictures.filter(slot, pictures.large))
    await until_at_work(pictures, pid)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await assert_replaced(slot, pictures, pid)


async def test_a_child_that_died_while_idle_costs_no_picture(
    slot: Slot, pictures: Pictures
) -> None:
    """The next picture gets another child."""
    pid = warm_pid(slot)
    os.kill(pid, signal.SIGKILL)
    # Until the last of its threads has ended; it is left to the slot to reap.
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    await pictures.filter(slot, pictures.small)
    assert slot.pid != pid


async def test_a_closed_slot_leaves_nothing(tmp_path: Path) -> None:
    """Closing ends a warm child as well as one on its way, and their rooms go with them."""
    warm, cold = Slot(tmp_path), Slot(tmp_path)
    await warm.start()
    pid = warm_pid(warm)
    starting = asyncio.create_task(cold.start())
    await asyncio.sleep(0)
    await asyncio.gather(warm.close(), cold.close())
    with pytest.raises((asyncio.CancelledError, DpipError)):
        await starting
    assert not psutil.pid_exists(pid)
    assert not [
        child
        for child in psutil.Process().children()
        if "dpip.worker.child" in " ".join(child.cmdline())
    ]
    assert list(tmp_path.iterdir()) == []


async def test_a_child_ends_with_its_slot(slot: Slot) -> None:
    """A child whose standard input ends has nothing left to wait for."""
    child = psutil.Process(warm_pid(slot))
    assert slot._coming is not None
    stdin = slot._coming.result()._process.stdin
    assert stdin is not None
    stdin.close()
    async with asyncio.timeout(PATIENCE):
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.005)


async def test_a_child_gives_back_the_memory_of_a_large_picture(
    pictures: Pictures, slot: Slot
) -> None:
    """So that the memory of a job is its own, not that of the largest before it."""
    import pyvips

    before = await pictures.filter(slot, pictures.small)
    for side, kind in ((1500, PictureFormat.WEBP), (1000, PictureFormat.GIF)) * 2:
        noise = pyvips.Image.gaussnoise(side, side, mean=128, sigma=40, seed=1).gaussblur(2)
        noise = noise.linear(5, -500).cast("uchar")
        colourful = noise.bandjoin([noise.rot90(), noise.rot180()]).copy(interpretation="srgb")
        source = pictures.directory / f"large{kind.suffix}"
        colourful.write_to_file(str(source), effort=1)
        large = await slot.filter(
            source,
            pictures.target,
            encode_pipeline(parse_pipeline("grayscale")),
            kind,
            memory_limit=MEMORY,
            time_limit=PATIENCE,
        )
        assert large.cost.memory > 1.5 * before.cost.memory
    after = await pictures.filter(slot, pictures.small)
    assert after.cost.memory < 1.3 * before.cost.memory
