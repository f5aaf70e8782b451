"""Seccomp: a process of Linux gives up system calls, for good.

The filter is a program of the classic Berkeley packet filter, which the kernel runs before each
call; see ``linux/seccomp.h``.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""The column of the tables below, and what the kernel calls the architecture."""

_DENIED: dict[str, tuple[int | None, int | None]] = {
    # The network, and other processes by messages.
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # Other programs and processes.
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "kcmp": (312, 272),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # Its own limits.
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    # Of files, what Landlock leaves open, or did before its third version. Who owns a file can
    # change its flags by ioctl, though it was opened for reading.
    "ioctl": (16, 29),
    "flock": (73, 32),
    "file_setattr": (469, 469),
    "truncate": (76, 45),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "open_by_handle_at": (304, 265),
    # The system, if this runs as its administrator.
    "mount": (165, 40),
    "umount2": (166, 39),
    "fsopen": (430, 430),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "swapon": (167, 224),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
}
_OPEN, _OPENAT, _OPENAT2, _FCNTL = (2, None), (257, 56), (437, 437), (72, 25)
_CLONE, _CLONE3, _TGKILL, _SECCOMP = (56, 220), (435, 435), (234, 131), (317, 277)

_INSTRUCTION = struct.Struct("=HBBL")
_CALL_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT, _ARGUMENT_SIZE = 0, 4, 16, 8
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32_CALLS = 0x40000000
_CLONE_THREAD = 0x00010000
_SET_FILTER, _KEEP_SPECULATION = 1, 1 << 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def can_give_up_calls() -> bool:
    """Whether this is a system and a machine that ``give_up_calls`` knows."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def give_up_calls() -> None:
    """Give up the network, other processes and programs, and what else filtering never needs.

    Such a call fails with EPERM from then on, in this thread and those that it starts. The process
    must have given up new privileges. Raises ``OSError``.
    """
    content = _filter(platform.machine(), os.getpid())
    instructions = ctypes.create_string_buffer(content, len(content))
    program = _Program(len(content) // _INSTRUCTION.size, ctypes.addressof(instructions))
    column, _ = _MACHINES[platform.machine()]
    # Kernels before 5.16 would slow the process down otherwise, to hide what is not in it.
    result = ctypes.CDLL(None, use_errno=True).syscall(
        _SECCOMP[column], _SET_FILTER, _KEEP_SPECULATION, ctypes.byref(program)
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _filter(machine: str, pid: int) -> bytes:
    column, machine_code = _MACHINES[machine]
    denied = [call for numbers in _DENIED.values() if (call := numbers[column]) is not None]
    instructions = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 1, 0, machine_code),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_AT),
        (_IF_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _KILL),
    ]
    for call in denied:
        instructions += [(_IF_EQUAL, 0, 1, call), (_RETURN, 0, 0, _REFUSE | errno.EPERM)]
    # Their flags are out of a filter's reach; who finds them missing goes on with the former ones.
    for call in (_CLONE3[column], _OPENAT2[column]):
        instructions += [(_IF_EQUAL, 0, 1, call), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    # Nothing can be emptied that is not opened to be written: the kernel counts no writer then.
    if (call := _OPEN[column]) is not None:
        instructions += _unless_emptied_unwritten(call, 1)
    instructions += _unless_emptied_unwritten(_OPENAT[column], 2)
    instructions += _but_for_locks(_FCNTL[column])
    # Threads, but no processes; signals to itself, but to no other.
    instructions += _only_if(_CLONE[column], _IF_ANY_BIT, _CLONE_THREAD)
    instructions += _only_if(_TGKILL[column], _IF_EQUAL, pid)
    instructions.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*each) for each in instructions)


def _unless_emptied_unwritten(call: int, argument: int) -> list[tuple[int, int, int, int]]:
    """Allow ``call``, which opens a file by flags, unless it empties what it does not write to."""
    return [
        (_IF_EQUAL, 0, 6, call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT + argument * _ARGUMENT_SIZE),
        (_AND, 0, 0, os.O_ACCMODE | os.O_TRUNC),
        (_IF_EQUAL, 1, 0, os.O_RDONLY | os.O_TRUNC),
        (_IF_EQUAL, 0, 1, os.O_ACCMODE | os.O_TRUNC),  # For ioctl alone, see open(2).
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _but_for_locks(call: int) -> list[tuple[int, int, int, int]]:
    """Allow ``call``, which is fcntl, to copy descriptors, and to ask for and set their flags.

    A lock or a lease, which can be had on what is open for reading alone, would hold others up.
    """
    return [
        (_IF_EQUAL, 0, 5, call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT + _ARGUMENT_SIZE),
        (_IF_EQUAL, 2, 0, fcntl.F_DUPFD_CLOEXEC),
        (_IF_AT_LEAST, 0, 1, fcntl.F_SETFL + 1),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _only_if(call: int, test: int, value: int) -> list[tuple[int, int, int, int]]:
    """Allow ``call`` if its first argument passes ``test`` with ``value``."""
    return [
        (_IF_EQUAL, 0, 4, call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (test, 1, 0, value),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
