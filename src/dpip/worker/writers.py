"""Whether anybody may write to a file still that another process has made."""

import fcntl
import os
import signal
import stat
import sys
from pathlib import Path

_NOT_FOR_OTHERS_TO_WRITE = 0o644


def take_over(path: Path, owner: int) -> bool:
    """Make the file ``path``, of the user ``owner`` or our own, one that only we may write to.

    Whether the kernel says that nobody has it open, or mapped, to write to it, and so nobody can
    from now on who has no right to open it. ``False`` where it is no file of one name and of these
    users, or the kernel or the file system cannot tell.
    """
    if sys.platform != "linux":
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        seen = os.fstat(file)
        ours = os.geteuid()
        if not (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1 and seen.st_uid in (owner, ours)):
            return False
        if seen.st_uid != ours:
            os.fchown(file, ours, os.getegid())
            os.fchmod(file, stat.S_IMODE(seen.st_mode) & _NOT_FOR_OTHERS_TO_WRITE)
        # Who breaks a lease has its holder signalled: by SIGIO, which would end this process.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # Refused if there is a writer.
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
