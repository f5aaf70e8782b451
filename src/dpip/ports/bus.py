"""The message-passing server, as the parts see it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

Handler = Callable[[str, bytes], Awaitable[bytes | None]]
"""Called with a message's subject and payload; what it returns is the answer to a request."""


def _same(subject: str) -> str:
    return subject


class FlowControl(Struct, frozen=True, kw_only=True):
    """How much is taken in of subjects on which strangers speak, each on one of its own.

    Of a subject the newest ``most_waiting`` messages wait, and are handled in order. ``at_once``
    subjects are handled at a time; they have their turn one after the other, those of one
    ``group_of`` together as one. A subject with more than ``most_a_second`` messages floods, and so
    does one of which more than one may wait, and more do: what is beyond is dropped.
    """

    most_waiting: int
    most_a_second: int
    at_once: int = 1
    group_of: Callable[[str], str] = _same


class Bus(Protocol):
    """At-most-once messages on subjects, and requests that are answered at once or not at all.

    Nothing is stored: a message is received by whoever subscribes at that moment. The connection
    is kept up for as long as the bus is open; subscriptions outlive a reconnect.
    """

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send ``payload`` to the present subscribers; lost without a sound where there is none."""
        ...

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """Send ``payload`` and return the first answer.

        Raises ``NoResponder`` when nobody subscribes (nothing was received), ``NoAnswerInTime``
        after ``timeout`` seconds (it may have been received), ``BusUnavailable`` without a server.
        """
        ...

    async def request_all(self, subject: str, payload: bytes, seconds: float) -> list[bytes]:
        """Send ``payload`` and return all answers that come within ``seconds``.

        Raises ``BusUnavailable`` without a server.
        """
        ...

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", flow: FlowControl | None = None
    ) -> None:
        """Call ``handler`` for each message on ``subject``, one at a time and in order.

        With ``flow``, as that says. Subscribers that name the same ``queue`` share the messages. An
        exception of the handler is logged and ends only the handling of that message.
        """
        ...

    def when_flooded(self, handler: Callable[[str], Awaitable[None]]) -> None:
        """Call ``handler`` with each subject that floods, in each second in which it does."""
        ...
