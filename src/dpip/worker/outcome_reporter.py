"""How the scheduler learns what became of an attempt."""

import asyncio
import contextlib
import random

import structlog

from dpip.errors import DpipError
from dpip.ports.bus import Bus
from dpip.wire import subjects
from dpip.wire.codec import encode
from dpip.wire.messages import Outcome, OutcomeKind
from dpip.wire.subjects import Speaker

log = structlog.get_logger()

_ANSWER_SECONDS = 5.0
_PATIENCE_SECONDS = 20.0
_MOST_AT_ONCE = 8
"""Outcomes that wait for their acknowledgement: of a full worker that leaves there are hundreds."""


class OutcomeReporter:
    """Tells outcomes in the name of a worker."""

    def __init__(self, bus: Bus, speaker: Speaker) -> None:
        self._bus = bus
        self._subject = subjects.outcome(*speaker)
        self._asking = asyncio.Semaphore(_MOST_AT_ONCE)

    async def tell(self, outcome: Outcome) -> None:
        """Return once ``outcome`` is acknowledged, or there was nobody to hear of it for too long.

        The lease then lapses, because its attempt is no longer in the heartbeats. That a job is
        done is only said: the result is committed, and room is known a little sooner.
        """
        payload = encode(outcome)
        if outcome.kind is OutcomeKind.DONE:
            with contextlib.suppress(DpipError):
                await self._bus.publish(self._subject, payload)
            return
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + _PATIENCE_SECONDS
        while clock() < give_up_at:
            try:
                async with self._asking:
                    if clock() >= give_up_at:  # Hundreds may have had their turn before, in vain.
                        break
                    await self._bus.request(self._subject, payload, _ANSWER_SECONDS)
            except DpipError as error:
                log.warning("outcome not told, will try again", reason=str(error))
                # Jitter, no secret.
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311  # nosec B311
            else:
                return
        log.warning("outcome not told, the lease will lapse", job=outcome.job_id)
