"""Whether anybody may write to a file still that another process has made."""

import fcntl
import os
import signal
import stat
import sys
from pathlib import Path


def has_no_writers(path: Path) -> bool:
    """Whether the kernel says that nobody has the file ``path`` open, or mapped, to write to it.

    So nobody can from now on who has no right to open it, if what is there is a file of our own
    user and of one name. ``False`` where it is none, or the kernel or the file system cannot tell.
    """
    if sys.platform != "linux":
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        seen = os.fstat(file)
        if not (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1 and seen.st_uid == os.geteuid()):
            return False
        # Who breaks a lease has its holder signalled: by SIGIO, which would end this process.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # Refused if there is a writer.
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
