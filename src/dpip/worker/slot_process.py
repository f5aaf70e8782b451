"""The child process of a slot, as its parent handles it."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Self

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

_START_SECONDS = 30.0
_LAST_WORDS_BYTES = 4096
_NO_MEMORY = (b"failed to allocate", b"bad_alloc", b"MemoryError")


class ChildEnded(Exception):
    """The child ended, or spoke nonsense, while a picture was in work; the message says how."""

    def __init__(self, how: str, *, ran_out_of_memory: bool) -> None:
        super().__init__(how)
        self.ran_out_of_memory = ran_out_of_memory


class ChildProcess:
    """A warm child. Asked one thing at a time; whoever gives up on an answer has to kill it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._memory = psutil.Process(process.pid)
        self._last_words = b""
        self._listener = asyncio.create_task(self._listen())
        self.is_idle = False
        """Whether everything that was asked has been answered."""

    @classmethod
    async def start(cls) -> Self:
        """Start a child and return once it is warm. Raises ``CannotStart``."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dpip.worker.child",
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                # Ctrl-C in a terminal reaches the worker alone, which ends its children in order.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise CannotStart(part="the child process of a slot", reason=error) from error
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                answer = await child._read_answer()
            if not isinstance(answer, Ready):
                raise ChildEnded("did not say that it is ready", ran_out_of_memory=False)
        except BaseException as error:
            child.kill()
            await child.wait()
            if isinstance(error, ChildEnded | TimeoutError):
                reason = str(error) or f"it was not ready within {_START_SECONDS:g} s"
                raise CannotStart(part="the child process of a slot", reason=reason) from error
            raise
        child.is_idle = True
        return child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended."""
        return self._process.returncode is not None

    def resident_bytes(self) -> int:
        """Memory that the process occupies; 0 once it has ended."""
        try:
            return int(self._memory.memory_info().rss)
        except psutil.Error:
            return 0

    async def ask(self, task: Task) -> Filtered | Failed:
        """Have the child filter a picture. Raises ``ChildEnded``."""
        self.is_idle = False
        with contextlib.suppress(ConnectionError):  # What became of it is seen while reading.
            assert self._process.stdin  # noqa: S101
            self._process.stdin.write(framed(task))
            await self._process.stdin.drain()
        answer = await self._read_answer()
        if isinstance(answer, Ready):
            raise ChildEnded("gave no answer", ran_out_of_memory=False)
        self.is_idle = True
        return answer

    def kill(self) -> None:
        """End the process at once; ``wait`` for it afterwards."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> None:
        """Return when the process has ended and nothing of it is left."""
        await self._process.wait()
        await self._listener

    async def _read_answer(self) -> Answer:
        assert self._process.stdout  # noqa: S101
        try:
            (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
            return decode_answer(await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await self.wait()
            raise ChildEnded(
                self._last_state(),
                ran_out_of_memory=any(sign in self._last_words for sign in _NO_MEMORY),
            ) from error
        except msgspec.DecodeError as error:
            raise ChildEnded("gave an answer that is none", ran_out_of_memory=False) from error

    def _last_state(self) -> str:
        code = self._process.returncode or 0
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
        last_line = self._last_words.decode(errors="replace").strip().rpartition("\n")[2]
        return f"{how}: {last_line[:200]}" if last_line else how

    async def _listen(self) -> None:
        assert self._process.stderr  # noqa: S101
        while chunk := await self._process.stderr.read(_LAST_WORDS_BYTES):
            self._last_words = (self._last_words + chunk)[-_LAST_WORDS_BYTES:]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
