"""The user that a child of root runs as."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.worker.slot import FilteredPicture, Slot
from tests.integration.worker.taken_over import take_over_children
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user"
)

BUSY = """
import asyncio, os, pathlib, sys
import pytest
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.worker.slot import Slot
from tests.integration.worker.taken_over import take_over_children

async def main():
    place = pathlib.Path(sys.argv[1])
    take_over_children(pytest.MonkeyPatch(), attack="open('room/busy', 'w')\\nwait()")
    slot = Slot(place)
    await slot.start()
    print(slot.pid, flush=True)
    (place / "source").touch()
    pipeline = encode_pipeline(parse_pipeline("blur"))
    await slot.filter(
        place / "source", place / "target", pipeline, PictureFormat.PNG,
        memory_limit=1 << 30, time_limit=600,
    )

asyncio.run(main())
"""


@pytest.fixture
async def slot(tmp_path: Path) -> AsyncIterator[Slot]:
    slot = Slot(tmp_path)
    yield slot
    await slot.close()


async def filter_small(slot: Slot, source: Path) -> FilteredPicture:
    return await slot.filter(
        source,
        source.with_name("target"),
        encode_pipeline(parse_pipeline("blur")),
        PictureFormat.PNG,
        memory_limit=1 << 30,
        time_limit=60.0,
    )


def picture(path: Path) -> Path:
    import pyvips

    pyvips.Image.black(40, 30, bands=3).pngsave(str(path))
    return path


async def test_a_child_of_root_is_nobody(slot: Slot) -> None:
    """In all its ids, without groups and capabilities."""
    await slot.start()
    status = Path(f"/proc/{slot.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    (user,) = set(fields["Uid"].split())
    (group,) = set(fields["Gid"].split())
    assert user != "0"
    assert group != "0"
    assert fields["Groups"].split() == []
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(fields[capabilities], 16) == 0


@pytest.mark.parametrize("mode", [0o644, 0o600])
@pytest.mark.parametrize("has_other_name", [False, True])
async def test_a_child_of_root_reads_originals_of_root(
    slot: Slot, tmp_path: Path, mode: int, has_other_name: bool
) -> None:
    """Whoever may read them otherwise; those of others stay what they are. Results are root's."""
    await slot.start()
    kept = picture(tmp_path / "kept.png")
    kept.chmod(mode)
    source = tmp_path / "source.png"
    if has_other_name:
        source.hardlink_to(kept)
    else:
        kept.rename(source)
    assert (await filter_small(slot, source)).header.width == 40
    result = (tmp_path / "target").stat()
    assert (result.st_uid, result.st_nlink, result.st_mode & 0o022) == (0, 1, 0)
    if has_other_name:
        assert kept.stat().st_mode & 0o777 == mode
        assert kept.stat().st_uid == 0


async def test_a_child_that_cannot_become_nobody_says_so(
    slot: Slot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works all the same, without capabilities."""
    prelude = (
        "from dpip.worker import privileges\n"
        "privileges._missing_capabilities = lambda: ['CAP_SETUID']"
    )
    take_over_children(monkeypatch, prelude=prelude)
    assert await slot.start() == ("the files of root (the worker lacks CAP_SETUID)",)
    assert slot.pid is not None
    assert psutil.Process(slot.pid).uids().real == 0
    assert "CapEff:\t0000000000000000" in Path(f"/proc/{slot.pid}/status").read_text()
    await filter_small(slot, picture(tmp_path / "source.png"))


def test_a_busy_child_ends_with_its_worker(tmp_path: Path) -> None:
    """Though the kernel forgets that it was asked to when a process becomes another user."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        eventually(lambda: list(tmp_path.glob("child-*/room/busy")), "a child at work")
        worker.send_signal(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(child), "the end of the child")
