"""Landlock: a process of Linux gives up its access to files, for good.

See ``linux/landlock.h``. The numbers of its system calls are the same on every architecture.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _REMOVE_FILE, _MAKE_REGULAR = 1 << 1, 1 << 2, 1 << 5, 1 << 8
_TRUNCATE = 1 << 14
_WITHIN = _WRITE_FILE | _READ_FILE | _REMOVE_FILE | _MAKE_REGULAR | _TRUNCATE

# What each version of the interface can deny, from the first on: so many rights on files.
_FILE_RIGHTS = (13, 14, 15, 15, 16)
_TRUNCATION_SINCE = 3
_NETWORK_SINCE, _NETWORK_RIGHTS = 4, 0b11  # Binding and connecting of TCP.
_SCOPES_SINCE, _SCOPES = 6, 0b11  # Abstract Unix sockets and signals of others.

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("directory", ctypes.c_int32))


def landlock_version() -> int:
    """Version of the kernel's Landlock; 0 where there is none."""
    if _libc is None:
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def keeps_what_can_be_read() -> bool:
    """Whether what a process may only read is safe from it.

    Before its third version Landlock let a file be emptied by who opened it for reading.
    """
    return landlock_version() >= _TRUNCATION_SINCE


def allow_files_only_in(directory: Path, *, read_only: Path) -> None:
    """Leave this thread, and what it starts, no file to open but those right in two directories.

    In ``directory`` files can be read, written, made and removed, and nothing else made. Those in
    ``read_only`` can be read, and nothing can be moved or linked from one to the other. What is
    open stays open. The process must have given up new privileges. Raises ``OSError``.
    """
    version = landlock_version()
    denied = _Ruleset(
        files=(1 << _FILE_RIGHTS[min(version, len(_FILE_RIGHTS)) - 1]) - 1,
        network=_NETWORK_RIGHTS if version >= _NETWORK_SINCE else 0,
        scopes=_SCOPES if version >= _SCOPES_SINCE else 0,
    )
    ruleset = _call(_CREATE_RULESET, ctypes.byref(denied), ctypes.sizeof(denied), 0)
    try:
        _allow(ruleset, directory, _WITHIN & denied.files)
        _allow(ruleset, read_only, _READ_FILE)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, directory: Path, rights: int) -> None:
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        rule = _PathBeneath(allowed=rights, directory=place)
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: Any) -> int:
    assert _libc is not None  # noqa: S101  # nosec B101 # for the type checker
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
