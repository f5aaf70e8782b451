"""The message-passing server, as the parts see it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

Handler = Callable[[str, bytes], Awaitable[bytes | None]]
"""Called with a message's subject and payload; what it returns is the answer to a request."""


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

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> None:
        """Call ``handler`` for each message on ``subject``, one at a time and in order.

        Subscribers that name the same ``queue`` share the messages. An exception of the handler is
        logged and ends only the handling of that message.
        """
        ...
