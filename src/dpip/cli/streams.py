"""Standard streams that fail no command whose work is done."""

import errno
import io
import os
import sys
from typing import TextIO

from dpip.errors import NoSpaceLeft

_STDIN, _STDOUT, _STDERR = range(3)
_GONE = (errno.EPIPE, errno.EIO)
"""What a pipe says whose reader has ended, and a terminal that was closed."""


def open_streams() -> None:
    """Have all standard streams be there, and take whatever is written to them.

    What nobody reads is dropped, and a letter that the encoding lacks is written as an escape
    sequence. To be called before a file is opened: one would take the place of a closed stream.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or open(_STDIN, closefd=False)  # noqa: SIM115
    sys.stdout = _forgiving(sys.stdout, _STDOUT)
    sys.stderr = _forgiving(sys.stderr, _STDERR)


def _forgiving(stream: TextIO | None, number: int) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_ForgivingFile(number, "wb", closefd=False)),  # type: ignore[type-var]
        encoding=stream.encoding if stream else None,
        errors="backslashreplace",
        line_buffering=True,
    )


class _ForgivingFile(io.FileIO):
    _is_full = False

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            if error.errno == errno.ENOSPC and not self._is_full:
                self._is_full = True  # Told once: it is tried again at the end.
                raise NoSpaceLeft(folder="the file of the output") from error
            if error.errno not in (*_GONE, errno.ENOSPC):
                raise
            return len(data)
