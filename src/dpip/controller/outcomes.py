"""How attempts ended, as their workers tell it."""

from dpip.controller.attempts import Attempts
from dpip.controller.flood_guard import FloodGuard
from dpip.controller.lease_reaper import LeaseReaper
from dpip.controller.roll_call import RollCall
from dpip.model.job import Failure, FailureCode, Lease
from dpip.plain_text import plain
from dpip.wire.codec import decode, encode
from dpip.wire.messages import Acknowledged, Outcome, OutcomeKind
from dpip.wire.subjects import Speaker, speaker_in

_ACKNOWLEDGED = encode(Acknowledged())
_LONGEST_REASON = 1000
_NOT_FOR_WORKERS_TO_SAY = frozenset({FailureCode.WORKER_LOST, FailureCode.DOES_NOT_FIT})
"""What the controller and the scheduler find; the first is held against nobody."""
_UNEXPLAINED = Failure(code=FailureCode.CRASHED, reason="The worker gave no reason.")


class Outcomes:
    """Records outcomes. A result is already committed, by its upload, when ``done`` comes in."""

    def __init__(
        self, attempts: Attempts, roll_call: RollCall, reaper: LeaseReaper, guard: FloodGuard
    ) -> None:
        self._attempts = attempts
        self._roll_call = roll_call
        self._reaper = reaper
        self._guard = guard

    async def outcome(self, subject: str, payload: bytes) -> bytes:
        """Record an ``Outcome``; it is ``Acknowledged`` once it is in the datastore.

        Of a process that has not been taken in, or no longer is, nothing is recorded.
        """
        outcome = decode(payload, Outcome, subject)
        speaker = speaker_in(subject)
        if not await self._is_held(speaker, outcome):
            await self._guard.stale(subject)
        return _ACKNOWLEDGED

    async def _is_held(self, speaker: Speaker, outcome: Outcome) -> bool:
        """End the attempt; whether it was the process's own."""
        if not await self._roll_call.is_registered(speaker):
            return False
        lease = Lease(job_id=outcome.job_id, attempt=outcome.attempt, worker=speaker.worker)
        match outcome.kind:
            case OutcomeKind.FAILED:
                return await self._attempts.fail(lease, _legible(outcome.failure or _UNEXPLAINED))
            case OutcomeKind.RETURNED:
                return await self._attempts.give_back(lease)
            case OutcomeKind.DONE:
                self._reaper.said_done(lease)
                return True


def _legible(failure: Failure) -> Failure:
    """The failure as it may be kept and shown: a database takes no NUL, a reader no megabyte."""
    is_theirs = failure.code not in _NOT_FOR_WORKERS_TO_SAY
    code = failure.code if is_theirs else FailureCode.CRASHED
    return Failure(code=code, reason=plain(failure.reason, _LONGEST_REASON))
