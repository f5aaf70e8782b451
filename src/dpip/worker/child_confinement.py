"""What the child denies itself before it touches bytes of strangers."""

import ctypes
import resource
import sys
from pathlib import Path

from dpip.worker.landlock import allow_files_only_in, landlock_version
from dpip.worker.seccomp import can_give_up_calls, give_up_calls

_MOST_OPEN_FILES = 64
_PR_SET_NO_NEW_PRIVS = 38


def confine(room: Path, originals: Path) -> tuple[str, ...]:
    """Give up, for good, everything that filtering pictures never needs.

    Files in the directory ``originals`` can be read still, and ``room`` is there to work in. Called
    once, when everything is loaded and before there is a second thread. Returns what the platform
    leaves open all the same, a phrase each.
    """
    # A crash of a decoder is expected, and its core would be as large as the picture.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_OPEN_FILES, _MOST_OPEN_FILES))
    if sys.platform == "linux":
        # The kernel asks for it before the rest.
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return (*_give_up_files(room, originals), *_give_up_calls())


def _give_up_files(room: Path, originals: Path) -> tuple[str, ...]:
    if not landlock_version():
        return ("other files (there is no Landlock)",)
    try:
        allow_files_only_in(room, read_only=originals)
    except OSError as error:
        return (f"other files (Landlock: {error.strerror})",)
    return ()


def _give_up_calls() -> tuple[str, ...]:
    if not can_give_up_calls():
        return ("network and other programs (no seccomp that is known here)",)
    try:
        give_up_calls()
    except OSError as error:
        return (f"network and other programs (seccomp: {error.strerror})",)
    return ()
