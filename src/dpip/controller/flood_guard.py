"""Cuts off workers that say more than can be taken in."""

import math

import structlog
from msgspec import Struct

from dpip.controller.connections import Connections
from dpip.controller.latest import Latest
from dpip.ports.clock import Clock
from dpip.wire.subjects import Speaker, speaker_in

log = structlog.get_logger()

_OUT_SECONDS = 30.0
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
        self._out_until: Latest[Speaker, float] = Latest(_MOST_KNOWN)

    def let_in(self, speaker: Speaker, *, user: str, server_id: str, connection_id: int) -> None:
        """A process of a worker is let in."""
        self._known[speaker] = _Connection(user, server_id, connection_id)

    def is_out(self, speaker: Speaker) -> bool:
        """Whether it has flooded lately."""
        return self._out_until.get(speaker, -math.inf) > self._clock.monotonic()

    async def cut_off(self, subject: str) -> None:
        """Close the connection of whoever speaks on ``subject``."""
        speaker = speaker_in(subject)
        self._out_until[speaker] = self._clock.monotonic() + _OUT_SECONDS
        if known := self._known.pop(speaker, None):
            log.warning("worker cut off: it floods", worker=speaker.worker, subject=subject)
            await self._connections.close(known.server_id, known.id, known.user)
