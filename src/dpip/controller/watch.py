"""The clock by which silence is measured."""

from dpip.errors import BusUnavailable, NoAnswerInTime, NoResponder
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.wire import subjects

_ANSWER_SECONDS = 1.0


class Watch:
    """Seconds in which workers could have been heard.

    It stands still while the message-passing server does not answer, and skips what its own process
    slept through: that is nobody's silence. It looks again and again; between two looks it goes on
    by half a term at most. An outage gives everybody a whole term more, to connect again.
    """

    def __init__(self, bus: Bus, clock: Clock, *, term_seconds: float) -> None:
        self._bus = bus
        self._clock = clock
        self._term_seconds = term_seconds
        self._seconds = 0.0
        self._looked_at = clock.monotonic()
        self._goes = True

    def seconds(self) -> float:
        """What has been counted up to now; set back by a term when an outage begins."""
        if not self._goes:
            return self._seconds
        since = self._clock.monotonic() - self._looked_at
        return self._seconds + min(since, self._term_seconds / 2)

    async def look(self) -> None:
        """See whether the message-passing server answers."""
        answers = await self._server_answers()
        if answers:
            self._seconds = self.seconds()
        elif self._goes:
            self._seconds -= self._term_seconds
        self._goes = answers
        self._looked_at = self._clock.monotonic()

    async def _server_answers(self) -> bool:
        try:
            await self._bus.request(subjects.NOBODY, b"", _ANSWER_SECONDS)
        except NoResponder:
            return True
        except (BusUnavailable, NoAnswerInTime):
            return False
        return True
