"""Whether there is room for one more upload."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dpip.errors import TooBusy
from dpip.ports.datastore import Jobs

_SHARES = 4
"""So many users have to send at once before one can keep others waiting."""


@dataclass
class _Incoming:
    """Uploads that share so many bytes."""

    limit: int
    uploads: int = 0
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more may come in; an upload alone always may."""
        return self.uploads > 1 and self.size >= self.limit


class Admission:
    """Bounds what waits to be filtered, and what has come in through this process and is not kept
    yet: of all users, and to a quarter of that of each.

    Bytes count as they arrive: what is only announced keeps nobody waiting.
    """

    def __init__(self, jobs: Jobs, *, pending_jobs: int, incoming_bytes: int) -> None:
        self._jobs = jobs
        self._pending_jobs = pending_jobs
        self._of_all = _Incoming(incoming_bytes)
        self._of_user: dict[str, _Incoming] = {}

    @asynccontextmanager
    async def upload(self, user_id: str) -> AsyncIterator[Callable[[int], None]]:
        """Count an upload in for the length of the block.

        Yields what is to be told of bytes that arrive. It raises ``TooBusy``, as does the beginning
        of the block, if the bytes of uploads have reached their bound (alone, any upload is taken),
        or if more jobs would wait than may.
        """
        of_all = self._of_all
        of_user = self._of_user.setdefault(user_id, _Incoming(of_all.limit // _SHARES))
        arrived = 0

        def arrive(size: int) -> None:
            nonlocal arrived
            for incoming, whose in ((of_all, "pictures"), (of_user, "your pictures")):
                if incoming.is_full:
                    raise TooBusy(
                        reason=f"{incoming.size} bytes of {whose} are on their way in",
                        setting="limits.incoming_bytes",
                    )
            arrived += size
            for incoming in (of_all, of_user):
                incoming.size += size

        of_all.uploads += 1
        of_user.uploads += 1
        try:
            arrive(0)
            # Those on their way in, this one too, have a place in the queue already.
            if await self._jobs.pending_count() + of_all.uploads > self._pending_jobs:
                raise TooBusy(
                    reason=f"{self._pending_jobs} pictures are waiting or on their way in",
                    setting="limits.pending_jobs",
                )
            yield arrive
        finally:
            for incoming in (of_all, of_user):
                incoming.uploads -= 1
                incoming.size -= arrived
            if not of_user.uploads:
                del self._of_user[user_id]
