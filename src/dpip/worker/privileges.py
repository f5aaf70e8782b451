"""A child of a worker that runs as root gives up being root."""

import ctypes
import os
import platform
import pwd
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dpip.worker.system_calls import system_calls

_NOBODY = 65534
"""Its id where no user database names it."""
_NEEDED = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
}
"""Capabilities that it takes to become another user, and to handle a child and files of another."""
_PR_SET_PDEATHSIG = 1
_CAPABILITIES_VERSION = 0x20080522
_WORDS_OF_CAPABILITIES = 6


def drop_privileges(room: Path) -> tuple[str, ...]:
    """Become ``nobody`` if this process is root's, and give up all capabilities.

    The directory ``room`` becomes that user's, and all other files have to be open to everybody.
    Called with a single thread. Returns what is left open all the same, a phrase each.
    """
    left_open = _become_nobody(room) if os.geteuid() == 0 else ()
    _drop_capabilities()
    return left_open


def _become_nobody(room: Path) -> tuple[str, ...]:
    if sys.platform != "linux":
        return ("the files of root (children run as another user on Linux only)",)
    if missing := _missing_capabilities():
        return (f"the files of root (the worker lacks {', '.join(missing)})",)
    try:
        user = pwd.getpwnam("nobody")
        uid, gid = user.pw_uid, user.pw_gid
    except KeyError:
        uid = gid = _NOBODY
    try:
        os.chown(room, uid, gid)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        # Who becomes another user has not asked for it any more.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except OSError as error:  # Its ids are not among those of this user namespace.
        with suppress(OSError):
            os.chown(room, 0, 0)
        return (f"the files of root (it cannot become nobody: {error.strerror})",)
    return ()


@contextmanager
def real_user(uid: int, gid: int) -> Iterator[None]:
    """Have this thread's real ids be these meanwhile, as setting limits of that user's asks for.

    What it may do stays the same, that goes by the effective ids. Raises ``OSError``.
    """
    ours = os.getuid(), os.getgid()
    if (uid, gid) == ours:
        yield
        return
    _set_real_ids(uid, gid)
    try:
        yield
    finally:
        _set_real_ids(*ours)


def _set_real_ids(uid: int, gid: int) -> None:
    # Those of the C library change all threads.
    libc, numbers = ctypes.CDLL(None, use_errno=True), system_calls(platform.machine())
    for name, real in (("setresgid", gid), ("setresuid", uid)):
        if libc.syscall(numbers[name], real, -1, -1) < 0:
            raise OSError(ctypes.get_errno(), f"{name} was refused")


def _missing_capabilities() -> list[str]:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("\nCapEff:")[2].split(maxsplit=1)[0], 16)
    return [name for name, bit in _NEEDED.items() if not effective >> bit & 1]


def _drop_capabilities() -> None:
    """See capset(2): effective, permitted and inheritable ones, in two parts, become none."""
    if sys.platform == "linux":
        head = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
        ctypes.CDLL(None).capset(head, (ctypes.c_uint32 * _WORDS_OF_CAPABILITIES)())
