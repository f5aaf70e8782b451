"""Whether there is room for one more upload."""

from collections.abc import Iterator
from contextlib import contextmanager

from dpip.errors import TooBusy
from dpip.ports.datastore import Jobs


class Admission:
    """Bounds what waits to be filtered, and what is on its way in through this process."""

    def __init__(self, jobs: Jobs, *, pending_jobs: int, incoming_bytes: int) -> None:
        self._jobs = jobs
        self._pending_jobs = pending_jobs
        self._incoming_bytes = incoming_bytes
        self._incoming = 0

    async def check_queue(self) -> None:
        """Raise ``TooBusy`` if as many jobs are pending as may be."""
        if await self._jobs.pending_count() >= self._pending_jobs:
            raise TooBusy(
                reason=f"{self._pending_jobs} pictures or more are waiting",
                setting="limits.pending_jobs",
            )

    @contextmanager
    def incoming(self, size: int) -> Iterator[None]:
        """Count an upload of at most ``size`` bytes in for the length of the block.

        Raises ``TooBusy`` if it does not fit beside the others; alone, any upload does.
        """
        if self._incoming and self._incoming + size > self._incoming_bytes:
            raise TooBusy(
                reason=f"{self._incoming} bytes of other pictures are on their way in",
                setting="limits.incoming_bytes",
            )
        self._incoming += size
        try:
            yield
        finally:
            self._incoming -= size
