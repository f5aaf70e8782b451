"""What the child denies itself before it touches bytes of strangers."""

import ctypes
import os
import resource
import socket
import sys
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from dpip.worker.landlock import allow_files_only_in, landlock_version
from dpip.worker.privileges import drop_privileges
from dpip.worker.seccomp import can_give_up_calls, give_up_calls

_MOST_OPEN_FILES = 64
_PR_SET_NO_NEW_PRIVS = 38


class Confinement(Struct, frozen=True, kw_only=True):
    """How far a process is confined.

    ``is_tight``: it has given up all files but its own and all system calls that it does not need.
    ``left_open`` is what the platform leaves open all the same, a phrase each.
    """

    is_tight: bool
    left_open: tuple[str, ...]


def confine(
    room: Path,
    originals: Path,
    *,
    allowed_calls: Collection[str] = (),
    reports: socket.socket | None = None,
) -> Confinement:
    """Give up, for good, everything that filtering pictures never needs.

    Files in the directory ``originals`` can be read still, and ``room`` is there to work in. Called
    once, when everything is loaded and before there is a second thread. Whoever is at the other end
    of ``reports`` learns of the system calls that are denied.
    """
    # A crash of a decoder is expected, and its core would be as large as the picture.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_OPEN_FILES, _MOST_OPEN_FILES))
    of_root = drop_privileges(room)
    if sys.platform == "linux":
        # The kernel asks for it before the rest.
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    of_others = (*_give_up_files(room, originals), *_give_up_calls(allowed_calls, reports))
    return Confinement(is_tight=not of_others, left_open=(*of_root, *of_others))


def _give_up_files(room: Path, originals: Path) -> tuple[str, ...]:
    if not landlock_version():
        return ("other files (there is no Landlock)",)
    try:
        allow_files_only_in(room, read_only=originals)
    except OSError as error:
        return (f"other files (Landlock: {error.strerror})",)
    return ()


def _give_up_calls(allowed: Collection[str], reports: socket.socket | None) -> tuple[str, ...]:
    if not can_give_up_calls():
        return ("network and other programs (no seccomp that is known here)",)
    try:
        listener = give_up_calls(allowed, reports_by=reports.fileno() if reports else None)
    except OSError as error:
        return (f"network and other programs (seccomp: {error.strerror})",)
    if listener is not None and reports is not None:
        socket.send_fds(reports, [b"\0"], [listener])
        os.close(listener)
    return ()
