"""How far a batch is, on standard error: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dpip.cli.output import say
from dpip.client import report
from dpip.plain_text import plain

_LINE_SECONDS = 5.0


class BatchProgress:
    """Shows the progress of a batch of ``total`` pictures while its context is open."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True)
        self._next_line = time.monotonic() + _LINE_SECONDS
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, detail="")
        self.started = False
        """Whether pictures have been sent."""
        self.came_back = 0
        """Pictures that are done and fetched."""

    def __enter__(self) -> Self:
        self.started = True
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, progress: report.Progress) -> None:
        """Show where the batch stands now."""
        self.came_back = progress.finished - progress.failed
        detail = f"uploaded {progress.uploaded}, filtered {progress.filtered}"
        if progress.failed:
            detail += f", failed {progress.failed}"
        self._bar.update(self._task, completed=progress.finished, detail=detail)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._next_line += _LINE_SECONDS
            say(f"{progress.finished} of {progress.total}: {detail}", aside=True)

    def say_above(self, *lines: str) -> None:
        """Print ``lines`` above the bar."""
        for line in lines:
            self._console.print(Text(plain(line)), soft_wrap=True)
