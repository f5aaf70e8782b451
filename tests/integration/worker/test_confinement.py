"""What a child cannot do once it is confined."""

import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import structlog

from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.model.job import FailureCode
from dpip.worker.landlock import keeps_what_can_be_read, landlock_version
from dpip.worker.privileges import real_user
from dpip.worker.seccomp import can_give_up_calls
from dpip.worker.slot import FilteredPicture, Slot, SlotFailure
from dpip.worker.slot_process import ChildProcess
from dpip.worker.workshop import Workshop

MEMORY = 1024 * 1024 * 1024
PATIENCE = 60.0

# Tries something as a process that has confined itself as a child does, or as one that has not.
TRY = """
import ctypes, errno, fcntl, mmap, os, pathlib, resource, socket, sys, threading
from dpip.worker import child_confinement
from dpip.worker.system_calls import system_calls

port, action, how = sys.argv[1:]
room, originals, outside = map(pathlib.Path, ("room", "originals", "outside"))
kept = originals / "kept"
libc = ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    result = function(*arguments)
    if result < 0:
        raise PermissionError(ctypes.get_errno(), "refused")
    return result

def ask(function, *arguments):
    # Not all file systems can do it; whether it is refused shows all the same.
    if function(*arguments) < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
        raise PermissionError

# All are on one file system, and the filter answers as if there were no such call, flag or file.
FILTERED = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOENT)

def opened(flags, path=kept):
    return os.open(path, flags)

if how == "as root":
    child_confinement.drop_privileges = lambda room: ()
if how != "free":
    assert child_confinement.confine(room, originals).left_open == ()
try:
    exec(action)
except (PermissionError, ValueError):  # The latter for limits.
    sys.exit(9)
except OSError as error:
    sys.exit(9 if error.errno in FILTERED else 1)
"""
CONFINED = ("as a child is", "as root")
FINE, REFUSED = 0, 9

FILES = {
    "read": "open('/etc/passwd').read()",
    "list": "os.listdir('/')",
    "read what a neighbour has": "(outside / 'neighbour').read_bytes()",
    "write": "(outside / 'new').write_bytes(b'x')",
    "write over": "(outside / 'neighbour').write_bytes(b'x')",
    "remove": "(outside / 'neighbour').unlink()",
    "remove its own": "(room / 'mine').unlink()",
    "replace its own": "(room / 'mine').rename(room / 'other')",
    "make a nameless file": "os.open(room, os.O_RDWR | os.O_TMPFILE)",
    "make a folder": "(room / 'folder').mkdir()",
    "make a link": "(room / 'link').symlink_to('/etc/passwd')",
}
CALLS = {
    "TCP": "socket.socket().connect(('127.0.0.1', int(port)))",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a Unix socket": "socket.socket(socket.AF_UNIX)",
    "a pair of sockets": "socket.socketpair()",
    "exec": "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "fork": "os.fork() or os._exit(0)",
    "start a program": "os.posix_spawn(sys.executable, [sys.executable, '-c', ''], {})",
    "trace": "call(libc.ptrace, 0, 0, 0, 0)",
    "signal its parent": "os.kill(os.getppid(), 0)",
    "signal a thread of its parent": "call(libc.tgkill, os.getppid(), os.getppid(), 0)",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_CPU, (1000, 2000))",
    "set its priority": "os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0))",
    "set its priority at the disk": "call(libc.syscall, 251 if os.uname().machine == 'x86_64' "
    "else 30, 1, 0, 0)",
    "choose its cores": "os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "choose its scheduling": "os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))",
    "change its scheduling": "os.sched_setparam(0, os.sched_param(0))",
    "watch files": "call(libc.inotify_init1, 0)",
    # In its room, where Landlock lets it: seccomp has to refuse it where Landlock does not.
    "truncate": "os.truncate(room / 'mine', 0)",
    "empty what it reads": "os.open(room / 'mine', os.O_RDONLY | os.O_TRUNC)",
    "empty what it neither reads nor writes": "os.open(room / 'mine', os.O_ACCMODE | os.O_TRUNC)",
    "chmod": "(outside / 'neighbour').chmod(0o777)",
    "change times": "os.utime(outside / 'neighbour', (0, 0))",
    "unshare": "call(libc.unshare, 0)",
    "set its own clock forward": "call(libc.syscall, system_calls(os.uname().machine)"
    "['clock_adjtime'], 0, ctypes.byref(ctypes.create_string_buffer(208)))",
    "share memory that is no file": "mmap.mmap(-1, 4096)",
    "make a file in memory": "os.memfd_create('it')",
    "share memory by a key": "call(libc.shmctl, call(libc.shmget, 0, 4096, 0o600), 0, 0)",
    "make a queue of messages": "call(libc.msgctl, call(libc.msgget, 0, 0o600), 0, 0)",
    "make a semaphore": "call(libc.semctl, call(libc.semget, 0, 1, 0o600), 0, 0)",
    "make a pipe": "os.pipe()",
    "wait for many": "call(libc.epoll_create1, 0)",
    "make a counter": "call(libc.eventfd, 0, 0)",
    "lock memory": "call(libc.mlockall, 2); call(libc.munlockall)",
    "set a limit of its own": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "say what it does when its parent ends": "call(libc.prctl, 1, 9, 0, 0, 0)",
}
CHANGES_OF_AN_ORIGINAL = {
    "write": "os.write(opened(os.O_WRONLY), b'x')",
    "append": "os.write(opened(os.O_WRONLY | os.O_APPEND), b'x')",
    "write through another name of what is open": "opened(os.O_RDWR, "
    "f'/proc/self/fd/{opened(os.O_RDONLY)}')",
    "empty it by opening": "opened(os.O_RDONLY | os.O_TRUNC)",
    "empty what is open": "opened(os.O_RDONLY | os.O_TRUNC, "
    "f'/proc/self/fd/{opened(os.O_RDONLY)}')",
    "truncate": "os.truncate(kept, 0)",
    "remove": "kept.unlink()",
    "rename": "kept.rename(originals / 'other')",
    "move to its room": "kept.rename(room / 'other')",
    "replace": "(room / 'mine').rename(kept)",
    "swap": "call(libc.renameat2, -100, bytes(kept), -100, bytes(room / 'mine'), 2)",
    "link into its room": "os.link(kept, room / 'other')",
    "link what is open": "os.link(f'/proc/self/fd/{opened(os.O_RDONLY)}', room / 'other', "
    "src_dir_fd=0)",
    "make a file beside it": "(originals / 'new').touch()",
    "chmod": "os.fchmod(opened(os.O_RDONLY), 0o600)",
    "chown": "os.fchown(opened(os.O_RDONLY), os.getuid(), os.getgid())",
    "change times": "os.utime(opened(os.O_RDONLY), (0, 0))",
    "change attributes": "ask(libc.fsetxattr, opened(os.O_RDONLY), b'user.a', b'', 0, 0)",
    "change flags": "ask(libc.ioctl, opened(os.O_RDONLY), ctypes.c_ulong(0x80086601), "
    "ctypes.byref(ctypes.c_long()))",
    "take attributes away": "ask(libc.fremovexattr, opened(os.O_RDONLY), b'user.a')",
    "take attributes away by name": "ask(libc.syscall, 466, -100, bytes(kept), 0, b'user.a')",
    "lock": "fcntl.flock(opened(os.O_RDONLY), fcntl.LOCK_SH)",
    "lock a part": "fcntl.lockf(opened(os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)",
    "lease": "fcntl.fcntl(opened(os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK)",
}
NEEDED = {
    "read an original": "assert kept.read_bytes() == b'original'",
    "work in its room": "(room / 'a').write_bytes((room / 'mine').read_bytes()); "
    "(room / 'a').write_bytes(b'x'); os.truncate(os.open(room / 'a', os.O_RDWR), 0)",
    "start a thread": "thread = threading.Thread(target=print); thread.start(); thread.join()",
    "copy a descriptor": "fcntl.fcntl(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC), fcntl.F_GETFL)",
    "read its limits": "resource.getrlimit(resource.RLIMIT_DATA)",
    "map memory and files": "mmap.mmap(-1, 4096, mmap.MAP_PRIVATE); "
    "mmap.mmap(opened(os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ)",
    "read the clock": "import time; time.sleep(0.001); time.monotonic()",
}

needs_landlock = pytest.mark.skipif(not landlock_version(), reason="the kernel has no Landlock")
needs_kept_originals = pytest.mark.skipif(
    not keeps_what_can_be_read(), reason="the kernel's Landlock is older than version 3"
)
needs_seccomp = pytest.mark.skipif(
    not can_give_up_calls(), reason="no seccomp filter is known for this system"
)


class Attempts:
    """A room, files outside of it, and a port that listens."""

    def __init__(self, directory: Path, port: int) -> None:
        directory.chmod(0o711)
        self.directory, self.port = directory, port
        self.room, self.outside = directory / "room", directory / "outside"
        self.originals = directory / "originals"
        self.kept = self.originals / "kept"

    def attempt(self, action: str, how: str) -> int:
        for directory in (self.room, self.outside, self.originals):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        # What refuses is not that files are another user's.
        self.outside.chmod(0o777)
        for file in (self.room / "mine", self.outside / "neighbour"):
            file.touch()
            file.chmod(0o666)
        self.kept.write_bytes(b"original")
        return subprocess.run(
            [sys.executable, "-c", TRY, str(self.port), action, how],
            check=False,
            cwd=self.directory,
            timeout=PATIENCE,
        ).returncode


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[Attempts]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Attempts(tmp_path, server.getsockname()[1])


@pytest.mark.parametrize(
    "action",
    [
        *(pytest.param(action, id=name, marks=needs_landlock) for name, action in FILES.items()),
        *(pytest.param(action, id=name, marks=needs_seccomp) for name, action in CALLS.items()),
    ],
)
def test_what_filtering_does_not_need_is_refused(attempts: Attempts, action: str) -> None:
    """Anybody else on the machine can do it. Nor can a child that could not become ``nobody``."""
    assert attempts.attempt(action, "free") == FINE
    for how in CONFINED:
        assert attempts.attempt(action, how) == REFUSED


@needs_kept_originals
@needs_seccomp
@pytest.mark.parametrize(
    "action", CHANGES_OF_AN_ORIGINAL.values(), ids=CHANGES_OF_AN_ORIGINAL.keys()
)
def test_an_original_cannot_be_changed(attempts: Attempts, action: str) -> None:
    """Its file may be the one in the image store."""
    assert attempts.attempt(action, "free") == FINE
    for how in CONFINED:
        before = time.time_ns()
        assert attempts.attempt(action, how) == REFUSED
        assert attempts.kept.read_bytes() == b"original"
        seen = attempts.kept.stat()
        assert (seen.st_nlink, seen.st_uid) == (1, os.getuid())
        assert seen.st_mtime_ns > before - 10**9
        assert [path.name for path in attempts.originals.iterdir()] == ["kept"]


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize("action", NEEDED.values(), ids=NEEDED)
def test_what_filtering_needs_is_allowed(attempts: Attempts, action: str) -> None:
    """Pictures are read, written and worked on in threads."""
    for how in CONFINED:
        assert attempts.attempt(action, how) == FINE


def test_what_a_platform_leaves_open_is_named(tmp_path: Path) -> None:
    """Where the kernel has neither, a child starts all the same."""
    program = (
        "from pathlib import Path; from dpip.worker import child_confinement as it; "
        "it.landlock_version = lambda: 0; it.can_give_up_calls = lambda: False; "
        "it.drop_privileges = lambda _: (); "
        "print(it.confine(Path.cwd(), Path.cwd())); open('/etc/passwd').close()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path
    )
    assert b"no Landlock" in ran.stdout
    assert b"no seccomp" in ran.stdout


async def test_a_worker_warns_of_what_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, however many slots it has."""
    left_open = ("other files (there is no Landlock)",)
    monkeypatch.setattr(
        ChildProcess, "left_open", property(lambda _: left_open, lambda *_: None), raising=False
    )
    workshop = Workshop(2, 0, tmp_path)
    with structlog.testing.capture_logs() as lines:
        await workshop.open()
    await workshop.close()
    (warning,) = [line for line in lines if line["log_level"] == "warning"]
    assert warning["left_open"] == left_open[0]


@pytest.fixture
async def slot(tmp_path: Path) -> AsyncIterator[Slot]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    slot = Slot(scratch)
    await slot.start()
    yield slot
    await slot.close()


async def filter_png(
    slot: Slot, source: Path, time_limit: float = PATIENCE, memory_limit: int = MEMORY
) -> FilteredPicture:
    return await slot.filter(
        source,
        source.with_name("result"),
        encode_pipeline(parse_pipeline("blur:sigma=20")),
        PictureFormat.PNG,
        memory_limit=memory_limit,
        time_limit=time_limit,
    )


def picture(path: Path, size: int = 30) -> Path:
    import pyvips

    pyvips.Image.black(size, size, bands=3).pngsave(str(path), compression=1)
    return path


def soft_limit(pid: int, name: str) -> int:
    """As everybody can read it; ``resource`` shows those of another user to few."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    return int(limits.partition(f"Max {name}")[2].split(maxsplit=1)[0])


def id_of_user(pid: int) -> tuple[int, int]:
    process = psutil.Process(pid)
    return process.uids().real, process.gids().real


@needs_landlock
async def test_a_child_opens_nothing_outside_of_its_room(slot: Slot, tmp_path: Path) -> None:
    """A link out of it leads nowhere, and the child goes on."""
    elsewhere = picture(tmp_path / "elsewhere.png")
    link = tmp_path / "link.png"
    link.symlink_to(elsewhere)
    with pytest.raises(SlotFailure) as caught:
        await filter_png(slot, link)
    assert caught.value.failure.code is FailureCode.DECODE_FAILED
    assert (await filter_png(slot, elsewhere)).header.width == 30


@pytest.mark.parametrize(
    "is_confined", [pytest.param(True, marks=[needs_kept_originals, needs_seccomp]), False]
)
async def test_only_a_child_that_cannot_write_to_it_gets_a_file_of_others(
    slot: Slot, tmp_path: Path, is_confined: bool
) -> None:
    """Another one gets a copy. Either way the file is what it was."""
    assert slot.pid is not None
    assert slot._coming is not None
    child = slot._coming.result()
    child._is_confined &= is_confined
    kept = picture(tmp_path / "kept.png")
    before = kept.read_bytes()
    source = tmp_path / "source.png"
    source.hardlink_to(kept)
    os.kill(slot.pid, signal.SIGSTOP)
    filtering = asyncio.create_task(filter_png(slot, source))
    async with asyncio.timeout(PATIENCE):
        while source.exists():
            await asyncio.sleep(0.005)
    assert child._original.samefile(kept) == is_confined
    os.kill(slot.pid, signal.SIGCONT)
    await filtering
    assert kept.read_bytes() == before
    assert kept.stat().st_nlink == 1
    assert not child._original.exists()


async def test_a_result_that_somebody_may_write_to_still_is_copied(
    slot: Slot, tmp_path: Path
) -> None:
    """As a child may that is taken over: nothing it writes reaches what was handed in."""
    assert slot._coming is not None
    child = slot._coming.result()
    source, result = picture(tmp_path / "large.png", 3000), tmp_path / "result"
    filtering = asyncio.create_task(filter_png(slot, source))
    async with asyncio.timeout(PATIENCE):
        while not child._filtered.exists():
            await asyncio.sleep(0.001)
        with child._filtered.open("r+b") as writer:
            await filtering
            before = result.read_bytes()
            writer.write(b"changed")
            writer.flush()
            assert not result.samefile(f"/proc/self/fd/{writer.fileno()}")
    assert result.read_bytes() == before
    assert result.stat().st_nlink == 1


@needs_seccomp
async def test_every_thread_of_a_child_is_confined(slot: Slot, tmp_path: Path) -> None:
    """Those of libvips are started after it has confined itself."""
    await filter_png(slot, picture(tmp_path / "picture.png"))
    threads = list(Path(f"/proc/{slot.pid}/task").iterdir())
    assert len(threads) > 1
    for thread in threads:
        status = (thread / "status").read_text().split("\n")
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status


async def test_a_child_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the worker's own settings nor what else is in its environment reach the child."""
    for name in ("DPIP_JOIN_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("VIPS_WARNING", "1")
    slot = Slot(tmp_path)
    await slot.start()
    assert slot.pid is not None
    environment = psutil.Process(slot.pid).environ()
    await slot.close()
    assert "secret" not in environment.values()
    assert environment["VIPS_WARNING"] == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the limits of others")
async def test_a_child_is_limited_by_the_kernel_too(slot: Slot, tmp_path: Path) -> None:
    """In memory, CPU seconds, files and core dumps, whatever its slot is doing."""
    await filter_png(slot, picture(tmp_path / "picture.png"), time_limit=7.5)
    assert slot.pid is not None

    assert soft_limit(slot.pid, "data size") == MEMORY
    assert soft_limit(slot.pid, "file size") == 4 * MEMORY
    assert 8 <= soft_limit(slot.pid, "cpu time") <= 60
    assert soft_limit(slot.pid, "open files") == 64
    assert soft_limit(slot.pid, "core file size") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the limits of others")
async def test_each_picture_has_limits_of_its_own(slot: Slot, tmp_path: Path) -> None:
    """In either direction."""
    assert slot.pid is not None
    for memory, seconds in ((MEMORY, 7), (MEMORY // 2, 7), (MEMORY, 70)):
        await filter_png(slot, picture(tmp_path / "picture.png"), seconds, memory)
        assert soft_limit(slot.pid, "data size") == memory
        assert soft_limit(slot.pid, "file size") == 4 * memory
        assert seconds < soft_limit(slot.pid, "cpu time") < 2 * seconds + 8


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the limits of others")
async def test_a_stricter_limit_of_the_machine_stays(slot: Slot, tmp_path: Path) -> None:
    """As an operator may have set it for the worker."""
    strict = (1 << 20, 1 << 20)
    assert slot.pid is not None
    with real_user(*id_of_user(slot.pid)):
        resource.prlimit(slot.pid, resource.RLIMIT_FSIZE, strict)
    await filter_png(slot, picture(tmp_path / "picture.png"))
    assert soft_limit(slot.pid, "file size") == strict[0]
