"""Cuts off workers that say more than can be taken in."""

import math
from collections import Counter

import structlog
from msgspec import Struct

from dpip.controller.connections import Connections
from dpip.controller.latest import Latest
from dpip.model.worker import MOST_IN_HAND
from dpip.ports.clock import Clock
from dpip.wire.subjects import Speaker, speaker_in

log = structlog.get_logger()

_OUT_SECONDS = 30.0
_STALE_SECONDS = 10.0
_MOST_KNOWN = 10_000
"""Processes that are remembered, the latest of them."""


class _Connection(Struct, frozen=True):
    user: str
    server_id: str
    id: int


class FloodGuard:
    """Knows who is connected where, so that one who floods is cut off at once.

    That process is let in again after ``_OUT_SECONDS``; not its name, which another may have meant
    to take from an honest one. Messages of one that is not known to be
    connected, since before this process began, are dropped where they come in, and no more.
    """

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._known: Latest[Speaker, _Connection] = Latest(_MOST_KNOWN)
        self._stale: Counter[Speaker] = Counter()
        self._count_again_at = -math.inf
        self._out_until: Latest[Speaker, float] = Latest(_MOST_KNOWN)

    def let_in(self, speaker: Speaker, *, user: str, server_id: str, connection_id: int) -> None:
        """A process of a worker is let in."""
        self._known[speaker] = _Connection(user, server_id, connection_id)

    def is_out(self, speaker: Speaker) -> bool:
        """Whether it has flooded lately."""
        return self._out_until.get(speaker, -math.inf) > self._clock.monotonic()

    async def stale(self, subject: str) -> None:
        """A process has told an outcome of an attempt that is none of its own.

        All that it has in hand may have become stale, so as many are no flood.
        """
        now = self._clock.monotonic()
        if now >= self._count_again_at:
            self._stale.clear()
            self._count_again_at = now + _STALE_SECONDS
        speaker = speaker_in(subject)
        self._stale[speaker] += 1
        if self._stale[speaker] == MOST_IN_HAND + 1:
            await self.cut_off(subject)

    async def cut_off(self, subject: str) -> None:
        """Close the connection of whoever speaks on ``subject``."""
        speaker = speaker_in(subject)
        self._out_until[speaker] = self._clock.monotonic() + _OUT_SECONDS
        if known := self._known.pop(speaker, None):
            log.warning("worker cut off: it floods", worker=speaker.worker, subject=subject)
            await self._connections.close(known.server_id, known.id, known.user)
