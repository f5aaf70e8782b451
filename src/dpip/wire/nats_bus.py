"""The bus on a NATS server."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from msgspec import Struct

from dpip.chores import end, is_cancelled, try_to
from dpip.errors import (
    BusRefused,
    BusUnavailable,
    DpipError,
    MalformedMessage,
    NoAnswerInTime,
    NoResponder,
)
from dpip.ports.bus import FlowControl, Handler
from dpip.wire.mailbox import Mailbox
from dpip.wire.nats_client import drain, put_away, until_received
from dpip.wire.nats_py import Client, Msg, errors
from dpip.wire.server_url import without_credentials

log = structlog.get_logger()

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 3.0
_CONNECT_SECONDS = 5
_FLUSH_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 1.0
_MOST_LINES_A_SECOND = 100


Credential = str | Callable[[], str]


class NatsBus:
    """A connection to a NATS server or cluster that is made again whenever it is lost.

    nats-py's own reconnection is switched off: it gives up for good when a credential expires, and
    it holds requests back while there is no server, where DPIP wants to know at once.
    """

    def __init__(
        self,
        url: str,
        *,
        user: Credential,
        password: Credential,
        name: str,
        inbox: str = "_INBOX",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the URL of the server, or several separated by commas.

        ``user`` and ``password`` are for a URL that does not name its own; functions are asked
        again for each connection. ``inbox`` is what the subjects begin with on which answers are
        awaited. With ``tls`` the server has to speak TLS, and to be one that ``tls`` trusts.
        """
        self._servers = url.split(",")
        self._address = without_credentials(url)
        self._user = None if "@" in url else user
        self._password = None if "@" in url else password
        self._name = name
        self._inbox = inbox
        self._tls = tls
        self._client = Client()
        self._lost = asyncio.Event()
        self._subscriptions: list[_Subscription] = []
        self._on_flood: list[Callable[[str], Awaitable[None]]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False
        self._malformed = 0
        self._new_lines_at, self._lines_left = 0.0, 0

    async def open(self, *, patience: float = 10.0) -> None:
        """Connect, trying for ``patience`` seconds.

        Raises ``BusUnavailable`` without a server, ``BusRefused`` if it refuses the credentials:
        which it does for a moment, too, while the controller that it asks is not up.
        """
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + patience
        for delay in _retry_delays():
            try:
                await self._connect()
                break
            except (BusUnavailable, BusRefused):
                if clock() + delay > give_up_at:
                    raise
                await asyncio.sleep(delay)
        self._keeper = asyncio.create_task(self._keep_connected(), name="keep bus connected")

    async def close(self) -> None:
        """Hear no more, send what is still to be sent, then disconnect."""
        if self._keeper is None:  # It was never connected.
            return
        self._closing = True
        await end(self._keeper)
        if self._client.is_connected:
            # The server knows of it before the connection ends, which others may notice later.
            await drain(self._client)
        await put_away(self._client)
        for subscription in self._subscriptions:
            if subscription.mailbox:
                await subscription.mailbox.close()

    async def __aenter__(self) -> Self:
        """Open with the default patience."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send ``payload``; raises ``BusUnavailable`` while there is no connection."""
        try:
            await self._client.publish(subject, payload)
        except (errors.Error, OSError) as error:
            raise self._unavailable(error) from error

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """Return the first answer to ``payload``, as the port promises."""
        try:
            answer = await self._client.request(subject, payload, timeout=timeout)
        except errors.NoRespondersError as error:
            raise NoResponder(subject=subject) from error
        except (TimeoutError, errors.TimeoutError) as error:
            raise NoAnswerInTime(subject=subject, seconds=timeout) from error
        except (errors.Error, OSError) as error:
            raise self._unavailable(error) from error
        return answer.data

    async def request_all(self, subject: str, payload: bytes, seconds: float) -> list[bytes]:
        """Return all answers to ``payload`` that come within ``seconds``."""
        answers: list[bytes] = []

        async def keep(message: Msg) -> None:
            answers.append(message.data)

        client = self._client
        try:
            inbox = client.new_inbox()
            subscription = await client.subscribe(inbox, cb=keep)
            try:
                await client.publish(subject, payload, reply=inbox)
                await asyncio.sleep(seconds)
            finally:
                await subscription.unsubscribe()
        except (errors.Error, OSError) as error:
            raise self._unavailable(error) from error
        return answers

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", flow: FlowControl | None = None
    ) -> None:
        """Call ``handler`` for each message, over every connection that is to come."""
        client = self._client
        for known in self._subscriptions:
            if (known.subject, known.queue, known.flow) == (subject, "", flow) and not queue:
                known.handlers.append(handler)  # The server sends it once.
                return
        subscription = _Subscription(subject=subject, queue=queue, flow=flow, handlers=[handler])
        if flow:
            hand_on = partial(self._hand_on, subscription.handlers)
            subscription.mailbox = Mailbox(hand_on, flow, self._tell_of_flood)
        self._subscriptions.append(subscription)
        if not client.is_connected:
            return
        try:
            await self._subscribe(client, subscription)
            # The server knows of the subscription before anybody is told to use it.
            await until_received(client)
        except (errors.Error, OSError) as error:
            if client.is_connected:
                raise self._unavailable(error) from error
            # The next connection makes it.

    def when_flooded(self, handler: Callable[[str], Awaitable[None]]) -> None:
        """Call ``handler`` with each subject that floods."""
        self._on_flood.append(handler)

    async def _subscribe(self, client: Client, subscription: "_Subscription") -> None:
        take_in: Callable[[Msg], Awaitable[None]] = partial(self._hand_on, subscription.handlers)
        if subscription.mailbox:
            take_in = subscription.mailbox.put
        await client.subscribe(subscription.subject, queue=subscription.queue, cb=take_in)

    async def _hand_on(self, handlers: Sequence[Handler], message: Msg) -> None:
        for handler in handlers:
            await self._handle(message, handler)

    async def _handle(self, message: Msg, handler: Handler) -> None:
        try:
            answer = await handler(message.subject, message.data)
            if answer is not None and message.reply:
                await self.publish(message.reply, answer)
        except MalformedMessage as error:
            self._malformed += 1
            now = asyncio.get_running_loop().time()
            if now >= self._new_lines_at:
                self._new_lines_at, self._lines_left = now + 1.0, _MOST_LINES_A_SECOND
            if self._lines_left:
                self._lines_left -= 1
                log.warning("message dropped", reason=str(error), dropped=self._malformed)
        except DpipError as error:
            log.warning("message not handled", subject=message.subject, reason=str(error))
        except Exception:
            log.exception("message not handled", subject=message.subject)

    async def _tell_of_flood(self, subject: str) -> None:
        log.warning("more messages than are taken in, the rest is dropped", subject=subject)
        for handler in self._on_flood:
            await try_to(partial(handler, subject))

    async def _connect(self) -> None:
        client = Client()
        lost = asyncio.Event()
        try:
            await self._let_in(client, lost)
            await self._subscribe_to_all(client)
            self._client, self._lost = client, lost
        except (errors.Error, OSError, UnicodeDecodeError) as error:
            if "authorization" in str(error).lower():
                raise BusRefused(address=self._address) from error
            raise self._unavailable(error) from error
        finally:
            if self._client is not client:
                await put_away(client)

    async def _let_in(self, client: Client, lost: asyncio.Event) -> None:
        async def closed() -> None:
            lost.set()

        async def failed(error: Exception) -> None:
            log.debug("bus error", reason=str(error))

        await client.connect(
            self._servers,
            user=self._user,
            password=self._password,
            name=self._name,
            inbox_prefix=self._inbox,
            tls=self._tls,
            # No word goes out before the server has shown who it is.
            tls_handshake_first=self._tls is not None,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of this first connection, for each server named
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=5,
            max_outstanding_pings=2,
            # Else whoever publishes into a full buffer waits for ever if the connection breaks.
            flush_timeout=_FLUSH_SECONDS,
            closed_cb=closed,
            error_cb=failed,
        )
        if not client.is_connected:  # nats-py takes any first word of the server for a yes.
            raise ConnectionError("it did not let this connection in")

    async def _subscribe_to_all(self, client: Client) -> None:
        made = 0
        while True:
            for subscription in self._subscriptions[made:]:
                await self._subscribe(client, subscription)
                made += 1
            await until_received(client)
            if made == len(self._subscriptions):  # None has come meanwhile.
                return

    async def _keep_connected(self) -> None:
        while not self._closing:
            await self._until_lost()
            log.warning("connection to the message-passing server lost", server=self._address)
            await put_away(self._client)
            await self._connect_again()

    async def _until_lost(self) -> None:
        # nats-py does not call back if the connection breaks with something still to be sent.
        while self._client.is_connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await self._lost.wait()

    async def _connect_again(self) -> None:
        refused = False
        for delay in _retry_delays():
            try:
                await self._connect()
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                log.warning("connecting was broken off, will try again", server=self._address)
            except BusRefused as error:
                # It may be for a moment only, while there is no controller to ask.
                note = log.debug if refused else log.warning
                note("not let in, will try again", server=self._address, reason=str(error))
                refused = True
            except (DpipError, errors.Error, OSError) as error:
                log.debug("no connection yet", server=self._address, reason=str(error))
            except Exception:
                log.exception("no connection yet", server=self._address)
            else:
                log.info("connected to the message-passing server again", server=self._address)
                return
            if self._closing:
                return
            await asyncio.sleep(delay)

    def _unavailable(self, error: Exception) -> BusUnavailable:
        return BusUnavailable(address=self._address, reason=str(error) or type(error).__name__)


class _Subscription(Struct, kw_only=True):
    """What is heard over every connection; with ``flow`` it passes a ``mailbox``."""

    subject: str
    queue: str
    flow: FlowControl | None
    handlers: list[Handler]
    mailbox: Mailbox | None = None


def _retry_delays() -> Iterator[float]:
    delay = _FIRST_RETRY_SECONDS
    while True:
        # Jitter: a thousand workers do not come back in the same instant.
        yield delay * random.uniform(0.5, 1.5)  # noqa: S311  # nosec B311 # jitter, no secret
        delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
