"""What a user of the system was told, line by line: all that the checker gets to see."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec


class Record:
    """Appends events to a file of JSON lines, from any thread.

    Each has ``event``, its name, and ``at``, the seconds since the record was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._began = time.monotonic()
        self._one_line = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, event: str, **facts: object) -> None:
        """Append one event with its ``facts``."""
        at = round(time.monotonic() - self._began, 3)
        line = msgspec.json.encode({"event": event, "at": at, **facts})
        with self._one_line:
            self._file.write(line + b"\n")
            self._file.flush()
