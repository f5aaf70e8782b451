"""What one user may take up, and whether one more upload is within it."""

from collections.abc import Iterable

from msgspec import Struct

from dpip.errors import QuotaExceeded, TooBusy, TooManyRequests
from dpip.model.rate import Bound, Count
from dpip.model.workload import Usage


class QuotaLimits(Struct, frozen=True, kw_only=True):
    """What one user may take up, as the settings of section ``quotas`` say; 0 is no limit."""

    stored_bytes: int = 0
    pending_jobs: int = 0
    uploads_a_minute: int = 0


def check_uploads(limits: QuotaLimits, recent: Iterable[Count], now: float) -> None:
    """Raise ``TooManyRequests`` if ``recent`` uploads are as many as may be."""
    limit = limits.uploads_a_minute
    if limit and (wait := Bound("uploads", limit).wait(recent, now)):
        raise TooManyRequests(
            what="uploads", limit=limit, wait=wait, left=0, setting="quotas.uploads_a_minute"
        )


def room_for_upload(limits: QuotaLimits, usage: Usage, size: int) -> int:
    """The bytes that one more upload of ``size`` may have, beside what is in ``usage``.

    Raises ``TooBusy``, or ``QuotaExceeded`` if there are none.
    """
    if limits.pending_jobs and usage.pending_jobs >= limits.pending_jobs:
        raise TooBusy(
            reason=f"{limits.pending_jobs} of your pictures are waiting, as many as may",
            limit=limits.pending_jobs,
            left=0,
            setting="quotas.pending_jobs",
        )
    if not limits.stored_bytes:
        return size
    left = limits.stored_bytes - usage.stored_bytes
    if left <= 0:
        raise exceeded(limits, 0)
    return left


def exceeded(limits: QuotaLimits, left: int) -> QuotaExceeded:
    """Return the refusal of a picture that is larger than what is ``left``, in bytes."""
    return QuotaExceeded(limit=limits.stored_bytes, left=left, setting="quotas.stored_bytes")
