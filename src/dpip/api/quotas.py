"""What one user may take up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dpip.api.rate_limit import RateLimit
from dpip.api.settings import QuotaLimits
from dpip.errors import QuotaExceeded, TooBusy, TooManyRequests
from dpip.model.user import Role, User
from dpip.ports.clock import Clock
from dpip.ports.datastore import Workloads


class Quotas:
    """Bounds the uploads of each user but administrators; a limit of 0 is none.

    Uploads that are on their way in through this process count as if they were stored already.
    """

    def __init__(self, workloads: Workloads, limits: QuotaLimits, clock: Clock) -> None:
        self._workloads = workloads
        self._limits = limits
        self._uploads = RateLimit(limits.uploads_a_minute, clock)
        self._incoming: dict[str, list[int]] = {}
        """Bytes of each upload that is on its way in, by user."""

    @asynccontextmanager
    async def upload(self, user: User, size: int) -> AsyncIterator[int]:
        """Count an upload of at most ``size`` bytes in for the length of the block.

        Yields how many bytes it may have. Raises ``TooManyRequests``, ``TooBusy`` or
        ``QuotaExceeded``.
        """
        if user.role is Role.ADMINISTRATOR:
            yield size
            return
        self._count_upload(user)
        incoming = self._incoming.setdefault(user.id, [])
        size = min(size, await self._room(user, incoming, size))
        incoming.append(size)
        try:
            yield size
        finally:
            incoming.remove(size)
            if not incoming:
                self._incoming.pop(user.id, None)

    def exceeded(self, left: int) -> QuotaExceeded:
        """Return the refusal of a picture that is larger than what is ``left``, in bytes."""
        return QuotaExceeded(
            limit=self._limits.stored_bytes, left=left, setting="quotas.stored_bytes"
        )

    def _count_upload(self, user: User) -> None:
        limit = self._limits.uploads_a_minute
        if not limit:
            return
        if wait := self._uploads.wait(user.id):
            raise TooManyRequests(
                what="uploads", limit=limit, wait=wait, left=0, setting="quotas.uploads_a_minute"
            )
        self._uploads.take(user.id)

    async def _room(self, user: User, incoming: list[int], size: int) -> int:
        """The bytes that an upload of ``size`` may have."""
        limits = self._limits
        if not limits.stored_bytes and not limits.pending_jobs:
            return size
        usage = await self._workloads.usage(user.id)
        if limits.pending_jobs and usage.pending_jobs + len(incoming) >= limits.pending_jobs:
            raise TooBusy(
                reason=f"{limits.pending_jobs} of your pictures are waiting, as many as may",
                limit=limits.pending_jobs,
                left=0,
                setting="quotas.pending_jobs",
            )
        if not limits.stored_bytes:
            return size
        left = limits.stored_bytes - usage.stored_bytes - sum(incoming)
        if left <= 0:
            raise self.exceeded(0)
        return left
