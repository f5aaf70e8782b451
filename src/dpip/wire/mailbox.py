"""Messages that strangers send, taken in without letting one of them keep the others waiting."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable

from dpip.chores import end
from dpip.ports.bus import FlowControl
from dpip.wire.nats_py import Msg

_MOST_BYTES = 16 * 1024 * 1024
"""Of all messages that wait in a mailbox."""

_WINDOW_SECONDS = 1.0


class Mailbox:
    """Holds what has come in on the subjects of one subscription, and has it handled in turn.

    To put a message in takes no time to speak of, so that nothing piles up behind it. Each subject
    has its turn, and each group of subjects before (round robin), so a crowd of one group costs
    another group no more than one message does.
    """

    def __init__(
        self,
        handle: Callable[[Msg], Awaitable[None]],
        flow: FlowControl,
        on_flood: Callable[[str], Awaitable[None]],
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_flood`` is called once a second at most with each subject that floods."""
        self._handle = handle
        self._flow = flow
        self._on_flood = on_flood
        self._seconds = seconds
        self._waiting: dict[str, deque[Msg]] = {}
        self._turns: OrderedDict[str, deque[str]] = OrderedDict()
        self._bytes = 0
        self._counts: Counter[str] = Counter()
        self._flooding: set[str] = set()
        self._window_ends = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers = 0

    async def put(self, message: Msg) -> None:
        """Have ``message`` handled in its turn, unless its subject has had more than its share."""
        subject = message.subject
        if self._floods(subject) or self._bytes + len(message.data) > _MOST_BYTES:
            return
        mail = self._waiting.get(subject)
        if mail is None:
            mail = self._waiting[subject] = deque()
            self._queue(subject)
        if len(mail) >= self._flow.most_waiting:
            if self._flow.most_waiting > 1:  # More than there can be, however slowly it is read.
                self._tell_of_flood(subject)
                return
            self._bytes -= len(mail.popleft().data)
        mail.append(message)
        self._bytes += len(message.data)
        if self._workers < self._flow.at_once:
            self._workers += 1
            self._run(self._work())

    async def close(self) -> None:
        """Handle nothing more."""
        await end(*self._tasks)

    def _floods(self, subject: str) -> bool:
        now = self._seconds()
        if now >= self._window_ends:
            self._counts.clear()
            self._flooding.clear()
            self._window_ends = now + _WINDOW_SECONDS
        self._counts[subject] += 1
        if self._counts[subject] > self._flow.most_a_second:
            self._tell_of_flood(subject)
        return subject in self._flooding

    def _tell_of_flood(self, subject: str) -> None:
        """Drop what waits of ``subject`` but one, and what comes of it within the window."""
        if subject in self._flooding:
            return
        self._flooding.add(subject)
        mail = self._waiting.get(subject) or deque()
        while len(mail) > 1:
            self._bytes -= len(mail.popleft().data)
        self._run(self._on_flood(subject))

    async def _work(self) -> None:
        try:
            while self._turns:
                subject, message = self._take()
                try:
                    await self._handle(message)
                finally:
                    if self._waiting[subject]:
                        self._queue(subject)
                    else:
                        del self._waiting[subject]
                # Much is handled without any waiting; meanwhile a flood is to be read, and noticed.
                await asyncio.sleep(0)
        finally:
            self._workers -= 1

    def _queue(self, subject: str) -> None:
        self._turns.setdefault(self._flow.group_of(subject), deque()).append(subject)

    def _take(self) -> tuple[str, Msg]:
        group, subjects = self._turns.popitem(last=False)
        subject = subjects.popleft()
        if subjects:
            self._turns[group] = subjects
        message = self._waiting[subject].popleft()
        self._bytes -= len(message.data)
        return subject, message

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
