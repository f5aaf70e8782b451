"""When a worker leaves its machine to others."""

from datetime import time

from msgspec import Struct

from dpip.model.working_hours import WorkingHours

_RESUME_BELOW = 0.8
"""Of the limit: the load of others has to fall this far before a worker goes on."""


class PoliteSettings(Struct, frozen=True, kw_only=True):
    """For what a worker makes room. ``load_above`` is a share of all cores, 0 to 1."""

    load_above: float | None = None
    hours: WorkingHours | None = None
    yield_gpu: bool = False


class Politeness:
    """Tells, at each heartbeat, whether the worker is to pause, and why.

    The load of others has to fall below four fifths of what it paused for, so that a worker that
    comes and goes with it does not flap.
    """

    def __init__(self, settings: PoliteSettings) -> None:
        self._settings = settings
        self._made_room = False

    def reason_to_pause(self, *, load: float, gpu_user: str | None, at: time) -> str | None:
        """Return words that follow the worker's name, or ``None`` if it may work.

        ``load`` is that of other programs, 0 to 1 over all cores; ``gpu_user`` says which GPU
        another program uses; ``at`` is what the clock on the wall shows.
        """
        return self._after_hours(at) or self._for_load(load) or self._for_gpu(gpu_user)

    def _after_hours(self, at: time) -> str | None:
        hours = self._settings.hours
        return None if hours is None or hours.include(at) else f"works {hours.as_words()} only"

    def _for_load(self, load: float) -> str | None:
        limit = self._settings.load_above
        if limit is None:
            return None
        if load > limit:
            self._made_room = True
            return f"is paused: the load of other programs is {load:.2f}, above {limit:g}"
        resume_below = limit * _RESUME_BELOW
        self._made_room = self._made_room and load >= resume_below
        if self._made_room:
            return (
                f"is paused: the load of other programs is {load:.2f}, and has to fall below "
                f"{resume_below:.2g}"
            )
        return None

    def _for_gpu(self, gpu_user: str | None) -> str | None:
        if self._settings.yield_gpu and gpu_user:
            return f"is paused: another program uses {gpu_user}"
        return None
