"""The list of system calls that a child may make."""

import errno
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpip.errors import CannotStart, InvalidValue
from dpip.filters.libvips import pyvips
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.filters.registry import FILTERS
from dpip.model.image import PictureFormat as F
from dpip.worker.seccomp import can_give_up_calls
from dpip.worker.slot import Slot, SlotFailure
from dpip.worker.system_calls import check_calls, system_calls
from tests.integration.worker.taken_over import take_over_children

pytestmark = pytest.mark.skipif(not can_give_up_calls(), reason="no seccomp filter is known here")

ALLOWED = """
    access brk clock_getres clock_gettime clock_nanosleep close dup dup2 dup3 exit exit_group
    faccessat fadvise64 fstat ftruncate futex getcpu getcwd getegid geteuid getgid getpid getppid
    getrandom getrlimit getrusage gettid gettimeofday getuid lseek lstat madvise mprotect mremap
    munmap nanosleep newfstatat poll ppoll pread64 pwrite64 read readv restart_syscall
    rt_sigaction rt_sigprocmask rt_sigreturn rseq sched_getaffinity sched_yield set_robust_list
    set_tid_address sigaltstack stat statx sysinfo time times uname write writev"""
"""To be looked at again when the filter allows more."""
ALLOWED_WITH_SOME_ARGUMENTS = "mmap open openat fcntl ioctl prctl clone tgkill prlimit64"
UNLINKS = ("unlink", "unlinkat")
BEYOND_FILTERS = {"x86_64": {335, 336}}
"""Calls of uprobes, which the kernel answers before a filter sees them: by SIGILL."""
TRY_ALL = """
import ctypes, json, sys
from pathlib import Path
from dpip.worker import child_confinement

numbers = json.loads(sys.argv[2])
if sys.argv[1] == "as root":
    child_confinement.drop_privileges = lambda room: ()
assert child_confinement.confine(Path("room"), Path("originals")).is_tight
libc = ctypes.CDLL(None, use_errno=True)
nothing = [ctypes.c_long(-1)] * 6
codes = {}
for number in numbers:
    ctypes.set_errno(0)
    codes[number] = ctypes.get_errno() if libc.syscall(number, *nothing) < 0 else 0
print(json.dumps(codes))
"""


@pytest.mark.parametrize("how", ["as a child is", "as root"])
def test_every_other_system_call_is_denied(tmp_path: Path, how: str) -> None:
    """The network, other processes, clocks, mounts, modules, and whatever kernels will add."""
    for name in ("room", "originals"):
        (tmp_path / name).mkdir()
    tmp_path.chmod(0o711)
    known = system_calls(platform.machine())
    allowed = f"{ALLOWED} {ALLOWED_WITH_SOME_ARGUMENTS}".split()
    passed = {known[name] for name in allowed if name in known}
    passed |= BEYOND_FILTERS.get(platform.machine(), set())
    denied = [number for number in range(520) if number not in passed]
    ran = subprocess.run(
        [sys.executable, "-c", TRY_ALL, how, json.dumps(denied)],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    codes = {int(number): code for number, code in json.loads(ran.stdout).items()}
    refusals = {errno.EPERM, errno.ENOSYS, errno.ENOENT}  # The last one for unlink and unlinkat.
    assert {number for number, code in codes.items() if code not in refusals} == set()
    assert list(codes.values()).count(errno.ENOENT) == sum(name in known for name in UNLINKS)
    assert all(codes[known[name]] == errno.EPERM for name in ("clock_adjtime", "acct", "shmget"))
    assert len(codes) == len(denied)


def pictures(directory: Path) -> Iterator[tuple[Path, F]]:
    """Every format in every layout, and damaged."""
    pixels = np.random.default_rng(3).integers(0, 255, (60, 80, 4)).astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    frames = pyvips.Image.arrayjoin([image, image.invert(), image], across=1).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 60)
    turned = image[:3].copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    compressions = ("none", "jpeg", "deflate", "lzw", "packbits", "webp")
    variants: dict[F, list[tuple[Any, dict[str, Any]]]] = {
        F.JPEG: [(turned, {}), (image[:3], {"interlace": True}), (image[0], {})],
        F.PNG: [(image, {}), (image[:3], {"interlace": True}), (image[0], {"bitdepth": 1})],
        F.WEBP: [(frames, {}), (image, {"lossless": True}), (turned, {})],
        F.GIF: [(frames, {}), (image, {"interlace": True})],
        F.TIFF: [
            (frames, {}),
            (turned, {"tile": True, "pyramid": True}),
            (image[:3].cast("float"), {}),
            *(
                (image[:3], {"compression": each, "tile": tile})
                for each in compressions
                for tile in (False, True)
            ),
        ],
        F.AVIF: [(image, {}), (image[:3], {"lossless": True}), (turned, {})],
    }
    for format, made in variants.items():  # noqa: A001
        for at, (picture, options) in enumerate(made):
            path = directory / f"{at}{format.suffix}"
            picture.write_to_file(str(path), **options)
            content = path.read_bytes()
            yield path, format
            if at:
                continue
            middle = len(content) // 2
            for kind, damaged in {
                "cut": content[:middle],
                "damaged": content[:middle] + bytes(40) + content[middle + 40 :],
            }.items():
                path = directory / f"{at}-{kind}{format.suffix}"
                path.write_bytes(damaged)
                yield path, format


async def filter_all(slot: Slot, directory: Path, pipelines: list[str]) -> int:
    done = 0
    for path, format in pictures(directory):  # noqa: A001
        content = path.read_bytes()
        for pipeline in pipelines:
            path.write_bytes(content)
            try:
                await slot.filter(
                    path,
                    directory / "target",
                    encode_pipeline(parse_pipeline(pipeline)),
                    format,
                    memory_limit=1 << 30,
                    time_limit=60.0,
                )
                done += 1
            except SlotFailure:
                continue
    return done


def denied_calls(slot: Slot) -> str:
    assert slot._coming is not None
    return str(slot._coming.result()._denied_calls)


@pytest.mark.parametrize("threshold", ["100m", "1k"], ids=["in memory", "on a disk"])
async def test_no_codec_and_no_filter_is_denied_a_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: str
) -> None:
    """Else it is named here: look at what it does, and allow it in ``seccomp.py`` if it may."""
    monkeypatch.setenv("VIPS_DISC_THRESHOLD", threshold)
    slot = Slot(tmp_path)
    await slot.start()
    first = slot.pid
    together = ",".join(each.name for each in FILTERS)
    assert await filter_all(slot, tmp_path, ["grayscale", together]) > len(F) * 4
    assert denied_calls(slot) == ""
    assert slot.pid == first
    await slot.close()


async def test_a_system_call_that_is_denied_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And fails: as one that the kernel does not have if the kernel need not have it."""
    numbers = [system_calls(platform.machine())[name] for name in ("acct", "fspick")]
    take_over_children(
        monkeypatch,
        attack="codes = []\n"
        f"for number in {numbers}:\n"
        "  libc.syscall(number, 0, 0, 0)\n"
        "  codes.append(ctypes.get_errno())\n"
        "raise OSError(str(codes))",
    )
    slot = Slot(tmp_path)
    (tmp_path / "source").touch()
    with pytest.raises(SlotFailure) as caught:
        await slot.filter(
            tmp_path / "source",
            tmp_path / "target",
            encode_pipeline(parse_pipeline("blur")),
            F.PNG,
            memory_limit=1 << 30,
            time_limit=60.0,
        )
    assert caught.value.failure.reason == str([errno.EPERM, errno.ENOSYS])
    named = denied_calls(slot)
    assert "acct (" in named
    assert "fspick (433)" in named
    await slot.close()


async def test_a_child_that_asks_for_denied_calls_without_end_gets_no_ear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fail by themselves then, at no cost to the worker."""
    take_over_children(
        monkeypatch,
        attack="for at in range(10_000): libc.acct(0)\nraise OSError(ctypes.get_errno(), 'over')",
    )
    slot = Slot(tmp_path)
    (tmp_path / "source").touch()
    with pytest.raises(SlotFailure, match="over"):
        await slot.filter(
            tmp_path / "source",
            tmp_path / "target",
            encode_pipeline(parse_pipeline("blur")),
            F.PNG,
            memory_limit=1 << 30,
            time_limit=60.0,
        )
    assert slot._coming is not None
    assert slot._coming.result()._denied_calls._listener is None
    await slot.close()


NEEDS_MORE = "seccomp._ALLOWED = tuple(each.replace('lseek ', '') for each in seccomp._ALLOWED)"


async def test_a_child_that_needs_another_system_call_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with another kernel or C library: it is named, with what to do about it."""
    take_over_children(monkeypatch, prelude=NEEDS_MORE)
    slot = Slot(tmp_path)
    with pytest.raises(CannotStart) as caught:
        await slot.start()
    await slot.close()
    assert "lseek (" in str(caught.value)
    assert "worker.allow_system_calls" in str(caught.value)


async def test_a_system_call_can_be_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a setting, until the list has it."""
    take_over_children(monkeypatch, prelude=NEEDS_MORE)
    slot = Slot(tmp_path, check_calls("readlink, lseek"))
    assert await slot.start() == ()
    await slot.close()
    with pytest.raises(InvalidValue, match="no_such"):
        check_calls("lseek,no_such")
