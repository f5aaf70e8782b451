"""CPU time of the simulation's own code, which is no cost of the scheduler."""

import time
from types import TracebackType


class CpuTime:
    """Adds up the CPU time of this thread in its blocks, which never wait and are not nested."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.thread_time()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds += time.thread_time() - self._began
