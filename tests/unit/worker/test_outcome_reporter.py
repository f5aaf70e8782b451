"""Telling outcomes: until somebody has heard, within reason."""

import asyncio
from typing import cast

from dpip.errors import NoAnswerInTime
from dpip.ports.bus import Bus
from dpip.simulation.virtual_time import VirtualTimeLoop, running_loop
from dpip.wire.messages import Outcome, OutcomeKind
from dpip.wire.subjects import Speaker
from dpip.worker.outcome_reporter import OutcomeReporter

PATIENCE_SECONDS, ANSWER_SECONDS = 20.0, 5.0


class FrozenBus:
    """Somebody listens, and never answers."""

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        await asyncio.sleep(timeout)
        raise NoAnswerInTime(subject=subject, seconds=timeout)


def test_a_full_worker_does_not_wait_longer_for_an_answer_than_an_empty_one() -> None:
    """An outcome whose turn comes when its patience is over is not told any more."""

    async def tell_all() -> float:
        reporter = OutcomeReporter(cast("Bus", FrozenBus()), Speaker("ada", "instance"))
        returned = [
            Outcome(job_id=f"job-{number}", attempt=1, kind=OutcomeKind.RETURNED)
            for number in range(300)
        ]
        await asyncio.gather(*(reporter.tell(outcome) for outcome in returned))
        return running_loop().time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(tell_all()) <= PATIENCE_SECONDS + ANSWER_SECONDS
