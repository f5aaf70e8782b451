"""Children are there for as long as they are supervised, and not longer."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dpip.errors import CannotStart
from dpip.supervision import SupervisedProcess
from tests.nats import PATIENCE
from tests.waiting import eventually

SLEEPS = "import time; time.sleep(600)"


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


class Starts:
    """Keeps the process id of each start, which is over at once or when ``ready`` is there."""

    def __init__(self, ready: Path | None = None) -> None:
        self._ready = ready
        self._pids: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, process: SupervisedProcess) -> None:
        while self._ready and not self._ready.exists():
            await asyncio.sleep(0.005)
        assert process.pid is not None
        self._pids.put_nowait(process.pid)

    async def next(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self._pids.get()


async def never_ready(_process: SupervisedProcess) -> None:
    await asyncio.Event().wait()


async def test_a_killed_child_is_started_again() -> None:
    """As often as it takes, each time another process."""
    starts = Starts()
    process = SupervisedProcess("child", python(SLEEPS), started=starts)
    await process.start()
    try:
        seen = [await starts.next()]
        for _ in range(2):
            os.kill(seen[-1], signal.SIGKILL)
            seen.append(await starts.next())
        assert len(set(seen)) == 3
        assert process.pid == seen[-1]
    finally:
        await process.stop()
    assert not [pid for pid in seen if psutil.pid_exists(pid)]


async def test_a_child_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    """Also one that ends well."""
    starts = Starts()
    process = SupervisedProcess("child", python("pass"), started=starts)
    await process.start()
    first = await starts.next()
    assert await starts.next() != first
    await process.stop()


@pytest.mark.parametrize(("code", "comes_back"), [(0, False), (1, True)])
async def test_a_child_that_may_finish_stays_away_when_it_has(
    tmp_path: Path, code: int, comes_back: bool
) -> None:
    """It has if it ends with 0; it is started again after any other end."""
    starts, count = Starts(), tmp_path / "count"
    program = (
        "import pathlib, sys\n"
        f"with pathlib.Path({str(count)!r}).open('a') as file: file.write('x')\n"
        f"sys.exit({code})"
    )
    process = SupervisedProcess("child", python(program), started=starts, may_finish=True)
    await process.start()
    await starts.next()
    if comes_back:
        await starts.next()
    else:
        assert process._keeper
        await process._keeper
        assert count.read_text() == "x"
    await process.stop()


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    """The child that comes up in the end is supervised."""
    count, ready = tmp_path / "count", tmp_path / "ready"
    program = f"""
import pathlib, sys, time
count, ready = pathlib.Path({str(count)!r}), pathlib.Path({str(ready)!r})
with count.open("a") as file:
    file.write("x")
if count.stat().st_size == 2:
    sys.exit("not this time")
ready.touch()
time.sleep(600)
"""
    starts = Starts(ready)
    process = SupervisedProcess("child", python(program), started=starts)
    await process.start()
    first = await starts.next()
    ready.unlink()
    os.kill(first, signal.SIGKILL)
    assert await starts.next() == process.pid != first
    assert count.read_text() == "xxx"
    await process.stop()


@pytest.mark.parametrize(
    "error", [CannotStart(part="child", reason="test"), ConnectionResetError()]
)
async def test_a_restart_whose_readiness_cannot_be_told_is_tried_again(error: Exception) -> None:
    """Whatever went wrong."""
    starts = Starts()
    errors: list[Exception] = []

    async def started(process: SupervisedProcess) -> None:
        if errors:
            raise errors.pop()
        await starts(process)

    process = SupervisedProcess("child", python(SLEEPS), started=started)
    await process.start()
    first = await starts.next()
    errors.append(error)
    os.kill(first, signal.SIGKILL)
    assert await starts.next() == process.pid != first
    assert errors == []
    await process.stop()


async def test_a_child_may_say_more_in_a_line_than_is_kept(tmp_path: Path) -> None:
    """It is read on, so that the child does not wait for ever to be heard."""
    said = tmp_path / "said"
    program = f"""
import pathlib, time
print("x" * 1_000_000, flush=True)
pathlib.Path({str(said)!r}).touch()
time.sleep(600)
"""
    starts = Starts(said)
    process = SupervisedProcess("child", python(program), started=starts)
    starting = asyncio.create_task(process.start())
    try:
        await starts.next()
    finally:
        await starting
        await process.stop()


async def test_a_failing_start_is_explained_by_its_last_lines() -> None:
    """What the child said last is what a person needs; the first of many lines is not."""
    program = "for n in range(30): print(f'line {n}.')\nraise SystemExit(3)"
    process = SupervisedProcess("The child", python(program), started=never_ready)
    with pytest.raises(CannotStart) as caught:
        await process.start()
    assert str(caught.value) == "The child cannot start: it ended with 3."
    assert "line 29." in caught.value.__notes__
    assert "line 0." not in caught.value.__notes__


async def test_a_child_that_fails_in_silence_is_explained_by_its_code() -> None:
    """There is always something to go by."""
    process = SupervisedProcess("child", python("raise SystemExit(3)"), started=never_ready)
    with pytest.raises(CannotStart, match="it ended with 3"):
        await process.start()


async def test_a_command_that_is_not_there_is_named() -> None:
    """As one more reason for which a part cannot start."""
    process = SupervisedProcess("child", ["/no/such/program"])
    with pytest.raises(CannotStart, match="/no/such/program: No such file"):
        await process.start()


async def test_a_child_that_never_gets_ready_is_ended() -> None:
    """Whoever waits for it hears why, and no process stays."""
    pids: list[int | None] = []

    async def started(process: SupervisedProcess) -> None:
        pids.append(process.pid)
        raise CannotStart(part="child", reason="it is not what was expected")

    process = SupervisedProcess("child", python(SLEEPS), started=started)
    with pytest.raises(CannotStart, match="not what was expected"):
        await process.start()
    assert pids[0] is not None
    assert not psutil.pid_exists(pids[0])


async def test_a_start_that_is_given_up_leaves_no_process() -> None:
    """Ctrl-C while a part is starting ends its child, too."""
    pid: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def started(process: SupervisedProcess) -> None:
        pid.set_result(process.pid)
        await asyncio.Event().wait()

    process = SupervisedProcess("child", python(SLEEPS), started=started)
    starting = asyncio.create_task(process.start())
    child = await pid
    assert child is not None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not psutil.pid_exists(child)


async def test_a_child_may_end_in_its_own_way(tmp_path: Path) -> None:
    """A stop asks before it kills."""
    ready, farewell = tmp_path / "ready", tmp_path / "farewell"
    program = f"""
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path({str(farewell)!r}).touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path({str(ready)!r}).touch()
time.sleep(600)
"""
    process = SupervisedProcess(
        "child", python(program), started=Starts(ready), grace_seconds=PATIENCE
    )
    await process.start()
    await process.stop()
    assert farewell.exists()


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """Once its grace is over."""
    ready = tmp_path / "ready"
    program = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(ready)!r}).touch()
time.sleep(600)
"""
    starts = Starts(ready)
    process = SupervisedProcess("child", python(program), started=starts, grace_seconds=0.05)
    await process.start()
    pid = await starts.next()
    await process.stop()
    assert not psutil.pid_exists(pid)


async def test_a_stop_between_two_lives_of_a_child_is_the_end() -> None:
    """A child that has just died is not started again."""
    starts = Starts()
    process = SupervisedProcess("child", python(SLEEPS), started=starts)
    await process.start()
    pid = await starts.next()
    os.kill(pid, signal.SIGKILL)
    await process.stop()
    await process.stop()
    assert not psutil.Process().children(recursive=True) or not [
        child for child in psutil.Process().children() if SLEEPS in " ".join(child.cmdline())
    ]


async def test_the_environment_is_added_to_that_of_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child sees both."""
    seen = tmp_path / "seen"
    monkeypatch.setenv("OF_THE_OWNER", "one")
    program = f"""
import os, pathlib, time
new = pathlib.Path({str(tmp_path / "new")!r})
new.write_text(os.environ["OF_THE_OWNER"] + os.environ["OF_THE_CHILD"])
new.rename({str(seen)!r})
time.sleep(600)
"""
    process = SupervisedProcess(
        "child", python(program), started=Starts(seen), environment={"OF_THE_CHILD": "two"}
    )
    await process.start()
    await process.stop()
    assert seen.read_text() == "onetwo"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
def test_a_child_goes_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    """It does not live on unsupervised."""
    program = f"""
import asyncio
from dpip.supervision import SupervisedProcess
async def main():
    process = SupervisedProcess("child", {python(SLEEPS)!r})
    await process.start()
    print(process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    eventually(
        lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
        "the child to go with its owner",
    )
