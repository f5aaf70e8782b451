"""Whether there is room for one more upload."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dpip.errors import TooBusy
from dpip.ports.datastore import Jobs


class Admission:
    """Bounds what waits to be filtered, and what is on its way in through this process."""

    def __init__(self, jobs: Jobs, *, pending_jobs: int, incoming_bytes: int) -> None:
        self._jobs = jobs
        self._pending_jobs = pending_jobs
        self._incoming_bytes = incoming_bytes
        self._uploads = 0
        self._bytes = 0

    @asynccontextmanager
    async def upload(self, size: int) -> AsyncIterator[None]:
        """Count an upload of at most ``size`` bytes in for the length of the block.

        Raises ``TooBusy`` if its bytes do not fit beside those of the others (alone, any upload
        does), or if more jobs would wait than may.
        """
        if self._uploads and self._bytes + size > self._incoming_bytes:
            raise TooBusy(
                reason=f"{self._bytes} bytes of other pictures are on their way in",
                setting="limits.incoming_bytes",
            )
        self._uploads += 1
        self._bytes += size
        try:
            # Those on their way in, this one too, have a place in the queue already.
            if await self._jobs.pending_count() + self._uploads > self._pending_jobs:
                raise TooBusy(
                    reason=f"{self._pending_jobs} pictures are waiting or on their way in",
                    setting="limits.pending_jobs",
                )
            yield
        finally:
            self._uploads -= 1
            self._bytes -= size
