"""What one user may take up."""

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from msgspec import Struct

from dpip.api.rate_limit import RateLimit
from dpip.api.settings import QuotaLimits
from dpip.errors import QuotaExceeded, TooBusy, TooManyRequests
from dpip.model.user import Role, User
from dpip.model.workload import Usage
from dpip.ports.clock import Clock
from dpip.ports.datastore import Workloads


class _Upload(Struct, frozen=True, eq=False):
    """An upload that is on its way in; no two are equal."""

    size: int


class _Incoming(set[_Upload]):
    """Those of one user."""


class Quotas:
    """Bounds the uploads of each user but administrators; a limit of 0 is none.

    Uploads that are on their way in through this process count as if they were stored already.
    """

    def __init__(self, workloads: Workloads, limits: QuotaLimits, clock: Clock) -> None:
        self._workloads = workloads
        self._limits = limits
        self._uploads = RateLimit(limits.uploads_a_minute, clock)
        self._incoming: WeakValueDictionary[str, _Incoming] = WeakValueDictionary()
        """By user, for as long as an upload of theirs holds it."""

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
        if not self._limits.stored_bytes and not self._limits.pending_jobs:
            yield size
            return
        incoming = self._incoming.setdefault(user.id, _Incoming())
        before = frozenset(incoming)
        usage = await self._workloads.usage(user.id)
        # Neither what has ended nor what has begun meanwhile need be in the usage.
        upload = _Upload(min(size, self._room(usage, before | incoming, size)))
        incoming.add(upload)
        try:
            yield upload.size
        finally:
            incoming.remove(upload)

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

    def _room(self, usage: Usage, incoming: Set[_Upload], size: int) -> int:
        """The bytes that an upload of ``size`` may have."""
        limits = self._limits
        if limits.pending_jobs and usage.pending_jobs + len(incoming) >= limits.pending_jobs:
            raise TooBusy(
                reason=f"{limits.pending_jobs} of your pictures are waiting, as many as may",
                limit=limits.pending_jobs,
                left=0,
                setting="quotas.pending_jobs",
            )
        if not limits.stored_bytes:
            return size
        left = limits.stored_bytes - usage.stored_bytes - sum(each.size for each in incoming)
        if left <= 0:
            raise self.exceeded(0)
        return left
