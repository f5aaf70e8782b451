"""Seccomp: a process of Linux keeps a few system calls, and gives up all others for good.

The filter is a program of the classic Berkeley packet filter, which the kernel runs before each
call; see ``linux/seccomp.h``.
"""

import ctypes
import errno
import fcntl
import os
import platform
import sys
from collections.abc import Collection
from struct import Struct

from dpip.worker.system_calls import FIRST_COMMON, system_calls

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls an architecture."""

_ALLOWED = (
    # What pictures take most often comes first: older kernels run the filter for each call.
    "futex read lseek madvise write close stat fstat newfstatat mprotect munmap brk",
    # Files: those that Landlock lets it open.
    "lstat statx access faccessat getcwd pread64 pwrite64 readv writev ftruncate fadvise64",
    "dup dup2 dup3 poll ppoll",
    # Memory, of its own or of a file: see _conditions for what it may not map.
    "mremap",
    # Threads and signals of its own.
    "set_robust_list rseq set_tid_address gettid getpid getppid exit exit_group restart_syscall",
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack sched_yield sched_getaffinity getcpu",
    "getuid geteuid getgid getegid getrlimit getrusage times uname sysinfo",
    # Time and chance.
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time getrandom",
)
"""Found by running all filters on all formats; with what other C libraries use in their place."""

_CODE_FOR_EXPECTED = {
    # libvips and filters remove what they have written. It has to stay in sight of the slot, which
    # counts it as memory where it is, and removes it after each picture. They take it as removed.
    "unlink": errno.ENOENT,
    "unlinkat": errno.ENOENT,
    # Their flags are out of a filter's reach; who finds them missing goes on with the former ones.
    "clone3": errno.ENOSYS,
    "openat2": errno.ENOSYS,
    # C libraries try them first, and go on with what came before.
    "faccessat2": errno.ENOSYS,
    "map_shadow_stack": errno.ENOSYS,
    "mseal": errno.ENOSYS,
}
"""Calls that are denied where every picture may make them, with the error that they get."""

_Instruction = tuple[int, int, int, int]
_INSTRUCTION = Struct("=HBBL")
_CALL_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT, _ARGUMENT_SIZE = 0, 4, 16, 8
_LOAD, _AND, _OR, _RETURN = 0x20, 0x54, 0x44, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _REFUSE, _KILL, _REPORT = 0x7FFF0000, 0x00050000, 0x80000000, 0x7FC00000
_X32_CALLS = 0x40000000
_SET_FILTER, _KEEP_SPECULATION, _NEW_LISTENER = 1, 1 << 2, 1 << 3

_FLAGS_OF_A_THREAD = 0x7D0F00
"""All that threads share; glibc leaves out 0x400000, which Linux ignores."""
_DETACHED = 0x400000
_TMPFILE = 0x400000
_MAP_SHARED_ANONYMOUS = 0x01 | 0x20
_MAP_UNCOUNTED = 0x0C | 0x100 | 0x2000 | 0x40000
"""Newer types, MAP_GROWSDOWN, MAP_LOCKED, MAP_HUGETLB: not data to RLIMIT_DATA, or not resident."""
_TERMINAL_QUESTIONS = (0x5401, 0x802C542A)
"""TCGETS and TCGETS2, by which isatty(3) asks."""
_NAMES_OF_THREADS_AND_MEMORY = (15, 16, 0x53564D41)
"""PR_SET_NAME, PR_GET_NAME, PR_SET_VMA."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def can_give_up_calls() -> bool:
    """Whether this is a system and a machine that ``give_up_calls`` knows."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def denial_code(number: int) -> int:
    """The error that a system call fails with that is not allowed.

    A young call is answered as an older kernel would, for which every C library has another way.
    """
    return errno.ENOSYS if number >= FIRST_COMMON else errno.EPERM


def give_up_calls(allowed: Collection[str] = (), *, reports_by: int | None = None) -> int | None:
    """Keep the system calls that filtering needs and those that are ``allowed`` beyond them.

    Any other fails, in this thread and those that it starts. The process must have given up new
    privileges. With ``reports_by``, a socket's descriptor that one message may be sent by, the
    result is the descriptor of a listener that whoever has it learns by which calls were denied,
    and which has to answer them; ``None`` where the kernel can make none. Raises ``OSError``.
    """
    if reports_by is not None:
        try:
            return _install(_filter(allowed, reports_by), _NEW_LISTENER)
        except OSError:  # The kernel is older than 5.0, or somebody listens already.
            pass
    _install(_filter(allowed, None), 0)
    return None


def _install(content: bytes, flags: int) -> int:
    instructions = ctypes.create_string_buffer(content, len(content))
    program = _Program(len(content) // _INSTRUCTION.size, ctypes.addressof(instructions))
    # Kernels before 5.16 would slow the process down otherwise, to hide what is not in it.
    result = ctypes.CDLL(None, use_errno=True).syscall(
        system_calls(platform.machine())["seccomp"],
        _SET_FILTER,
        _KEEP_SPECULATION | flags,
        ctypes.byref(program),
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _filter(allowed: Collection[str], reports_by: int | None) -> bytes:
    machine = platform.machine()
    numbers = system_calls(machine)
    instructions: list[_Instruction] = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 1, 0, _MACHINES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_AT),
        (_IF_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _KILL),
    ]
    for name in (*" ".join(_ALLOWED).split(), *allowed):
        if name in numbers:
            instructions += [(_IF_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ALLOW)]
    for name, conditions in _conditions(os.getpid(), reports_by).items():
        if name in numbers:
            instructions += [(_IF_EQUAL, 0, len(conditions), numbers[name]), *conditions]
    for name, code in _CODE_FOR_EXPECTED.items():
        if name in numbers:
            instructions += [(_IF_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _REFUSE | code)]
    if reports_by is not None:
        instructions.append((_RETURN, 0, 0, _REPORT))
    instructions += [
        (_IF_AT_LEAST, 0, 1, FIRST_COMMON),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
    ]
    return b"".join(_INSTRUCTION.pack(*each) for each in instructions)


def _conditions(pid: int, reports_by: int | None) -> dict[str, list[_Instruction]]:
    """What of their arguments is allowed: the instructions for each call, which decide on it."""
    deny = _REFUSE | errno.EPERM if reports_by is None else _REPORT
    # Nothing can be emptied that is not opened to be written: the kernel counts no writer then.
    # And every file has a name that the slot sees.
    opened = (
        (_IF_ANY_BIT, 0, 1, _TMPFILE),
        (_RETURN, 0, 0, _REFUSE | errno.EOPNOTSUPP),
        (_AND, 0, 0, os.O_ACCMODE | os.O_TRUNC),
        (_IF_EQUAL, 1, 0, os.O_RDONLY | os.O_TRUNC),
        (_IF_EQUAL, 0, 1, os.O_ACCMODE | os.O_TRUNC),  # For ioctl alone, see open(2).
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, _ALLOW),
    )
    conditions = {
        "mmap": [
            _argument(3),
            (_IF_ANY_BIT, 2, 0, _MAP_UNCOUNTED),
            (_AND, 0, 0, _MAP_SHARED_ANONYMOUS),
            (_IF_EQUAL, 0, 1, _MAP_SHARED_ANONYMOUS),
            (_RETURN, 0, 0, deny),
            (_RETURN, 0, 0, _ALLOW),
        ],
        "open": [_argument(1), *opened],
        "openat": [_argument(2), *opened],
        # A lock or a lease, which can be had on what is open for reading, would hold others up.
        "fcntl": _one_of(1, (*range(fcntl.F_SETFL + 1), fcntl.F_DUPFD_CLOEXEC), deny),
        "ioctl": _one_of(1, _TERMINAL_QUESTIONS, deny),
        "prctl": _one_of(0, _NAMES_OF_THREADS_AND_MEMORY, deny),
        "tgkill": _one_of(0, (pid,), deny),
        # Threads that share everything, descriptors too, and no processes.
        "clone": [
            _argument(0),
            (_OR, 0, 0, _DETACHED),
            (_IF_EQUAL, 1, 0, _FLAGS_OF_A_THREAD),
            (_RETURN, 0, 0, deny),
            (_RETURN, 0, 0, _ALLOW),
        ],
        # Its own limits can be read, with no new ones: both halves of the third are 0.
        "prlimit64": [
            _argument(0),
            (_IF_EQUAL, 1, 0, 0),
            (_IF_EQUAL, 0, 4, pid),
            _argument(2),
            (_IF_EQUAL, 0, 2, 0),
            _argument(2, half=4),
            (_IF_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, deny),
            (_RETURN, 0, 0, _ALLOW),
        ],
    }
    if reports_by is not None:
        # It is closed then, and no other socket can be made.
        conditions["sendmsg"] = _one_of(0, (reports_by,), deny)
    return conditions


def _argument(position: int, *, half: int = 0) -> _Instruction:
    return (_LOAD, 0, 0, _FIRST_ARGUMENT_AT + position * _ARGUMENT_SIZE + half)


def _one_of(position: int, values: Collection[int], deny: int) -> list[_Instruction]:
    last = len(values)
    return [
        _argument(position),
        *((_IF_EQUAL, last - at, 0, value) for at, value in enumerate(values)),
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, _ALLOW),
    ]
