"""The child process of a slot, as its parent handles it."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path
from subprocess import PIPE, Popen  # nosec B404 # runs our own programs alone
from typing import IO, Self

import msgspec
import psutil

from dpip.errors import CannotStart
from dpip.supervision import die_with_parent
from dpip.worker.child_limits import ChildLimits
from dpip.worker.child_messages import (
    FILTERED,
    LENGTH,
    LONGEST_ANSWER,
    ORIGINAL,
    ORIGINALS,
    ROOM,
    Answer,
    Failed,
    Filtered,
    Ready,
    Task,
    Unwritten,
    decode_answer,
    framed,
)
from dpip.worker.denied_calls import DeniedCalls
from dpip.worker.landlock import keeps_what_can_be_read
from dpip.worker.process_memory import ProcessMemory
from dpip.worker.room import Room
from dpip.worker.writers import take_over

_PART = "the child process of a slot"
_START_SECONDS = 30.0
_MOST_THREADS, _MOST_FILES = 1024, 256
"""Decoders start a thread a core at most, and libvips keeps a few files of pixels."""
_LAST_WORDS_BYTES = 4096
_ENVIRONMENT = ("PATH", "LD_", "DYLD_", "PYTHON", "VIPS", "OPENBLAS_", "OMP_", "MALLOC_", "GLIBC_")
"""How the names of those variables begin that are for libraries, not for programs."""
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
}
"""Has glibc give the memory of a picture back, in place of holding on to four times as much as a
small one needs: what jobs occupy can be predicted only if it is not that of jobs before them."""
_NO_MEMORY = (b"failed to allocate", b"bad_alloc", b"MemoryError", b"out of memory")


class ChildEnded(Exception):
    """The child ended, or spoke nonsense, while it was listened to; the message says how."""

    def __init__(
        self, how: str, *, ran_out_of_memory: bool = False, ran_out_of_cpu: bool = False
    ) -> None:
        super().__init__(how)
        self.ran_out_of_memory = ran_out_of_memory
        self.ran_out_of_cpu = ran_out_of_cpu


class ChildProcess:
    """A child. Asked one thing at a time; who gives up on an answer has to end the child.

    It has a room below ``scratch``, and beside it a directory in which it can only read: all in
    which it can open files, so it sees the picture that it filters, and no other. Made with
    ``Popen``, because asyncio's own processes can wait for ever when their start is cancelled.
    """

    def __init__(self, scratch: Path, allowed_calls: tuple[str, ...] = ()) -> None:
        """``allowed_calls`` are system calls that the child may make beyond the usual ones."""
        self._directory = Path(tempfile.mkdtemp(prefix="child-", dir=scratch))
        for name in (ROOM, ORIGINALS):
            (self._directory / name).mkdir()
        self._original = self._directory / ORIGINAL
        self._filtered = self._directory / FILTERED
        # Nobody else gets through to what is below the worker's own directory.
        for directory in (self._directory, self._original.parent):
            directory.chmod(0o711)
        # Appended to by the child, emptied before each picture: its last words on this one.
        self._words: IO[bytes] = tempfile.TemporaryFile(  # noqa: SIM115
            "a+b", buffering=0, dir=self._directory
        )
        self._room = Room(self._directory / ROOM, self._words)
        self._denied_calls = DeniedCalls()
        reports = self._denied_calls.socket_of_child.fileno()
        self._process = Popen(  # noqa: S603  # nosec B603 # our own program
            [
                *(sys.executable, "-m", "dpip.worker.child"),
                *(str(self._directory), str(reports), ",".join(allowed_calls)),
            ],
            pass_fds=(reports,),
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._words,
            bufsize=0,
            env=_environment(),
            # Ctrl-C in a terminal reaches the worker alone, which ends its children in order.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._limits = ChildLimits(self._process.pid)
        self.memory = ProcessMemory(psutil.Process(self._process.pid), self._room.held_in_memory)
        """Its peak is that of the picture asked for last."""
        self._answers = asyncio.StreamReader()
        self._transport: asyncio.ReadTransport | None = None
        self.is_idle = False
        """Whether everything that was asked has been answered."""
        self.left_open: tuple[str, ...] = ()
        """What the platform could not deny the process, a phrase each."""
        self._is_confined = False
        self._user = os.geteuid()

    @classmethod
    async def start(cls, scratch: Path, allowed_calls: tuple[str, ...] = ()) -> Self:
        """Start a child and return once it is warm. Raises ``CannotStart``."""
        try:
            child = cls(scratch, allowed_calls)
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

    async def ask(
        self, source: Path, target: Path, task: Task, *, memory_limit: int, cpu_seconds: float
    ) -> Filtered | Failed | Unwritten:
        """Have the child filter ``source``, which it uses up, into ``target``.

        The bytes of a ``source`` that has other names are safe from it, and so is the ``target``
        once it is there. Raises ``ChildEnded``.
        """
        self.is_idle = False
        if self._words.seek(0, os.SEEK_END):
            self._words.truncate(0)
        self._limits.allow(memory=memory_limit, seconds=cpu_seconds)
        self.memory.forget_peak()
        await self._hand_over(source)
        assert self._process.stdin  # noqa: S101  # nosec B101 # for the type checker
        with contextlib.suppress(BrokenPipeError):  # What became of it is seen while reading.
            # Does not block: the pipe is empty, and takes more than a task is long.
            self._process.stdin.write(framed(task))
        answer = await self._read_answer()
        if isinstance(answer, Ready):
            raise ChildEnded("gave no answer")
        try:
            self._original.unlink()
            if isinstance(answer, Filtered):
                await self._bring_out(target)
            self._room.clear()
        except FileNotFoundError as error:
            raise ChildEnded("has lost its files") from error
        self.is_idle = True
        return answer

    async def _hand_over(self, source: Path) -> None:
        seen = source.stat()
        if seen.st_nlink > 1 and not (self._is_confined and self._may_read(seen)):
            await asyncio.to_thread(shutil.copyfile, source, self._original)
            source.unlink()
            seen = self._original.stat()
        else:
            source.rename(self._original)
        if not self._may_read(seen):
            self._original.chmod(0o644)

    def _may_read(self, file: os.stat_result) -> bool:
        return self._user == os.geteuid() or bool(file.st_mode & stat.S_IROTH)

    async def _bring_out(self, target: Path) -> None:
        self._filtered.rename(target)
        if not (self._is_confined and take_over(target, self._user)):
            copy = self._directory / "copy"
            await asyncio.to_thread(shutil.copyfile, target, copy, follow_symlinks=False)
            copy.rename(target)

    def excess(self) -> str | None:
        """What it has too much of, besides memory, in words; ``None`` if nothing."""
        if self.memory.threads() > _MOST_THREADS:
            return f"more than {_MOST_THREADS} threads"
        return f"more than {_MOST_FILES} files" if self._room.has_more_than(_MOST_FILES) else None

    def kill(self) -> None:
        """Stop the process at once; ``end`` cleans up after it."""
        self._process.kill()

    async def end(self) -> None:
        """Stop the process at once; nothing of it is left on return."""
        self.kill()
        await asyncio.to_thread(self._process.wait)
        self._denied_calls.close()
        for pipe in (self._process.stdin, self._transport or self._process.stdout, self._words):
            assert pipe  # noqa: S101  # nosec B101 # for the type checker
            pipe.close()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _until_ready(self) -> None:
        assert self._process.stdout  # noqa: S101  # nosec B101 # for the type checker
        self._denied_calls.listen()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._answers), self._process.stdout
        )
        answer = await self._read_answer()
        if not isinstance(answer, Ready):
            raise ChildEnded("did not say that it is ready")
        self.left_open = answer.left_open
        if answer.failures and self._denied_calls:
            raise ChildEnded(
                f"cannot filter: {'; '.join(answer.failures)}{self._what_was_denied()}"
            )
        self._is_confined = answer.is_tight and keeps_what_can_be_read()
        room = self._room.path.stat()
        self._user = room.st_uid
        self._limits.belong_to(room.st_uid, room.st_gid)
        self._room.clear()
        self.is_idle = True

    async def _read_answer(self) -> Answer:
        try:
            (length,) = LENGTH.unpack(await self._answers.readexactly(LENGTH.size))
            if length > LONGEST_ANSWER:
                raise ChildEnded(f"gave an answer of {length} bytes, which is too long")
            return decode_answer(await self._answers.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            # It has closed its end, so that it has nothing left to do but to end.
            await asyncio.to_thread(self._process.wait)
            words = self._last_words()
            raise ChildEnded(
                _describe(self._process.returncode, words) + self._what_was_denied(),
                ran_out_of_memory=any(sign in words for sign in _NO_MEMORY),
                ran_out_of_cpu=self._process.returncode == -signal.SIGXCPU,
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ChildEnded("gave an answer that is none") from error

    def _what_was_denied(self) -> str:
        if not self._denied_calls:
            return ""
        return (
            f". It was denied the system calls {self._denied_calls}. If it needs them here, name "
            "them in worker.allow_system_calls, and report them with the versions of kernel and "
            "C library"
        )

    def _last_words(self) -> bytes:
        end = self._words.seek(0, 2)
        self._words.seek(max(0, end - _LAST_WORDS_BYTES))
        return self._words.read()


def _environment() -> dict[str, str]:
    """What libraries go by; tokens and passwords, of whatever program, are nothing to the child."""
    inherited = {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}
    # Temporary files go where it can open them, seen from the directory that it goes to, and errors
    # are told in the words we look for.
    return {**_ALLOCATOR, **inherited, "TMPDIR": ROOM, "LC_ALL": "C.UTF-8"}


def _describe(code: int, words: bytes) -> str:
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
    last_line = words.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{how}: {last_line[:200]}" if last_line else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
