"""What one user may take up."""

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

from msgspec import Struct

from dpip.errors import DpipError, TooManyRequests
from dpip.model.quota import QuotaLimits, check_uploads, room_for_upload
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

    The datastore holds the limits when it adds a picture, for all processes together. Here is found
    out before a picture is sent whether it will: uploads that are on their way in through this
    process count as if they were stored already.
    """

    def __init__(self, workloads: Workloads, limits: QuotaLimits, clock: Clock) -> None:
        self._workloads = workloads
        self._limits = limits
        self._clock = clock
        self._incoming: WeakValueDictionary[str, _Incoming] = WeakValueDictionary()
        """By user, for as long as an upload of theirs holds it."""

    def limits_of(self, user: User) -> QuotaLimits | None:
        """What binds ``user``, if anything does."""
        is_bound = user.role is not Role.ADMINISTRATOR and self._limits != QuotaLimits()
        return self._limits if is_bound else None

    @asynccontextmanager
    async def upload(self, user: User, size: int) -> AsyncIterator[int]:
        """Count an upload of at most ``size`` bytes in for the length of the block.

        Yields how many bytes it may have. One that is refused in the block is counted as one of
        those in a minute. Raises ``TooManyRequests``, ``TooBusy`` or ``QuotaExceeded``.
        """
        if not self.limits_of(user):
            yield size
            return
        incoming = self._incoming.setdefault(user.id, _Incoming())
        before = frozenset(incoming)
        now = self._clock.now()
        check_uploads(self._limits, await self._workloads.recent_uploads(user.id, now), now)
        usage = await self._workloads.usage(user.id)
        # Neither what has ended nor what has begun meanwhile need be in the usage.
        upload = _Upload(min(size, self._room(usage, before | incoming, size)))
        incoming.add(upload)
        try:
            yield upload.size
        except TooManyRequests:
            raise
        except Exception:
            with suppress(DpipError):
                await self._workloads.count_upload(user.id, now)
            raise
        finally:
            incoming.remove(upload)

    def _room(self, usage: Usage, incoming: Set[_Upload], size: int) -> int:
        """The bytes that an upload of ``size`` may have."""
        taken_up = Usage(
            stored_bytes=usage.stored_bytes + sum(each.size for each in incoming),
            pending_jobs=usage.pending_jobs + len(incoming),
        )
        return room_for_upload(self._limits, taken_up, size)
