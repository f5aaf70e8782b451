"""The child process of a slot, as its parent handles it."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from subprocess import PIPE, Popen
from typing import IO, Self

import msgspec
import psutil

from dpip.errors import CannotStart
from dpip.supervision import die_with_parent
from dpip.worker.child_messages import (
    LENGTH,
    Answer,
    Failed,
    Filtered,
    Ready,
    Task,
    decode_answer,
    framed,
)

_PART = "the child process of a slot"
_START_SECONDS = 30.0
_LAST_WORDS_BYTES = 4096
_NO_MEMORY = (b"failed to allocate", b"bad_alloc", b"MemoryError", b"out of memory")


class ChildEnded(Exception):
    """The child ended, or spoke nonsense, while it was listened to; the message says how."""

    def __init__(self, how: str, *, ran_out_of_memory: bool = False) -> None:
        super().__init__(how)
        self.ran_out_of_memory = ran_out_of_memory


class ChildProcess:
    """A child. Asked one thing at a time; who gives up on an answer has to end the child.

    Made with ``Popen``, because asyncio's own processes can wait for ever when their start is
    cancelled.
    """

    def __init__(self) -> None:
        # Appended to by the child, emptied before each picture: its last words on this one.
        self._words: IO[bytes] = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        self._process = Popen(
            [sys.executable, "-m", "dpip.worker.child"],
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._words,
            bufsize=0,
            # Ctrl-C in a terminal reaches the worker alone, which ends its children in order.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._memory = psutil.Process(self._process.pid)
        self._answers = asyncio.StreamReader()
        self._transport: asyncio.ReadTransport | None = None
        self.is_idle = False
        """Whether everything that was asked has been answered."""

    @classmethod
    async def start(cls) -> Self:
        """Start a child and return once it is warm. Raises ``CannotStart``."""
        try:
            child = cls()
        except OSError as error:
            raise CannotStart(part=_PART, reason=error) from error
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child._until_ready()
        except BaseException as error:
            await child.end()
            if isinstance(error, ChildEnded | TimeoutError):
                reason = str(error) or f"was not ready within {_START_SECONDS:g} s"
                raise CannotStart(part=_PART, reason=f"it {reason}") from error
            raise
        return child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def resident_bytes(self) -> int:
        """Memory that the process occupies; 0 once it has ended."""
        try:
            return int(self._memory.memory_info().rss)
        except psutil.Error:
            return 0

    async def ask(self, task: Task) -> Filtered | Failed:
        """Have the child filter a picture. Raises ``ChildEnded``."""
        self.is_idle = False
        self._words.truncate(0)
        assert self._process.stdin  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # What became of it is seen while reading.
            # Does not block: the pipe is empty, and takes more than a task is long.
            self._process.stdin.write(framed(task))
        answer = await self._read_answer()
        if isinstance(answer, Ready):
            raise ChildEnded("gave no answer")
        self.is_idle = True
        return answer

    def kill(self) -> None:
        """Stop the process at once; ``end`` cleans up after it."""
        self._process.kill()

    async def end(self) -> None:
        """Stop the process at once; nothing of it is left on return."""
        self.kill()
        await asyncio.to_thread(self._process.wait)
        for pipe in (self._process.stdin, self._transport or self._process.stdout, self._words):
            assert pipe  # noqa: S101
            pipe.close()

    async def _until_ready(self) -> None:
        assert self._process.stdout  # noqa: S101
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._answers), self._process.stdout
        )
        if not isinstance(await self._read_answer(), Ready):
            raise ChildEnded("did not say that it is ready")
        self.is_idle = True

    async def _read_answer(self) -> Answer:
        try:
            (length,) = LENGTH.unpack(await self._answers.readexactly(LENGTH.size))
            return decode_answer(await self._answers.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            # It has closed its end, so that it has nothing left to do but to end.
            await asyncio.to_thread(self._process.wait)
            words = self._last_words()
            raise ChildEnded(
                _describe(self._process.returncode, words),
                ran_out_of_memory=any(sign in words for sign in _NO_MEMORY),
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ChildEnded("gave an answer that is none") from error

    def _last_words(self) -> bytes:
        end = self._words.seek(0, 2)
        self._words.seek(max(0, end - _LAST_WORDS_BYTES))
        return self._words.read()


def _describe(code: int, words: bytes) -> str:
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
    last_line = words.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{how}: {last_line[:200]}" if last_line else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
