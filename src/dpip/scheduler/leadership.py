"""Which of several schedulers leads, and for how long."""

import asyncio
import math

import structlog

from dpip.chores import again_and_again, end, try_to
from dpip.model.leadership import SCHEDULER, Leader
from dpip.ports import datastore
from dpip.ports.clock import Clock

log = structlog.get_logger()

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0


class Leadership:
    """Has one scheduler lead and the others stand by, one of which takes over when it falls silent.

    The leader gives a sign of life every second. Who stands by counts the seconds without one on
    its own monotonic clock, so no clock is compared with another's. What is decided in a term is
    compared on it by the datastore, so whoever is wrong about leading decides nothing.
    """

    def __init__(self, store: datastore.Leadership, clock: Clock, *, holder: str) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._term: int | None = None
        self._kept_at = -math.inf
        self._seen: Leader | None = None
        self._seen_at = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self.leading = asyncio.Event()
        """Set when this one begins to lead, cleared at its next look after it no longer does."""

    @property
    def term(self) -> int | None:
        """The term in which this one leads, or ``None``: it does not, or can no longer tell."""
        is_sure = self._clock.monotonic() - self._kept_at < _PATIENCE_SECONDS
        return self._term if is_sure else None

    async def start(self) -> None:
        """Begin to look, and lead if nobody does."""
        self._looking = asyncio.create_task(again_and_again(self.look, _LOOK_SECONDS), name="lead")

    async def stop(self) -> None:
        """Leave the lead to others, who take it at once."""
        if self._looking:
            await end(self._looking)
        if self._term is not None:
            await try_to(self._resign)

    async def look(self) -> None:
        """Give a sign of life or, standing by, look for one."""
        try:
            await (self._stand_by() if self._term is None else self._keep(self._term))
        finally:
            self._tell()

    async def _keep(self, term: int) -> None:
        now = self._clock.monotonic()
        if await self._store.keep_lead(SCHEDULER, term=term):
            self._kept_at = now
        else:
            self._term = None

    async def _stand_by(self) -> None:
        now = self._clock.monotonic()
        leader = await self._store.leader(SCHEDULER)
        if leader != self._seen:
            self._seen, self._seen_at = leader, self._clock.monotonic()
        if leader.holder is None or now - self._seen_at >= _PATIENCE_SECONDS:
            self._term = await self._store.take_lead(
                SCHEDULER, self._holder, after_term=leader.term
            )
            self._kept_at = now

    async def _resign(self) -> None:
        if self._term is not None:
            await self._store.resign(SCHEDULER, term=self._term)
            self._term = None
            self.leading.clear()
            log.info("left the lead to others")

    def _tell(self) -> None:
        leads = self.term is not None
        if leads and not self.leading.is_set():
            log.info("leading", term=self.term)
            self.leading.set()
        elif self.leading.is_set() and not leads:
            log.warning("no longer leading")
            self.leading.clear()
