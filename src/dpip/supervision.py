"""Keeps a child process running: started, restarted when it dies, stopped with its owner."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from dpip.chores import end
from dpip.errors import CannotStart

log = structlog.get_logger()

_RESTART_DELAYS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS = 10.0
_LAST_LINES = 20
_PR_SET_PDEATHSIG = 1

# Loaded here because nothing may be imported between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, where the kernel can (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class SupervisedProcess:
    """One child process that is there for as long as it is supervised.

    ``started`` is awaited after each start and returns once the child is ready for work. A child
    that dies is started again, at once the first time and then with growing delays until it has
    stayed up for a while; not one that ``may_finish`` and ends with code 0, which has done what it
    was told. Its output goes to the log; its last lines explain a failed start.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        started: Callable[["SupervisedProcess"], Awaitable[None]] | None = None,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = 5.0,
        pass_output_through: bool = False,
        stdin: int = asyncio.subprocess.DEVNULL,
        may_finish: bool = False,
    ) -> None:
        self.name = name
        self.command = list(command)
        self._started = started
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._pass_output_through = pass_output_through
        self._stdin = stdin
        self._may_finish = may_finish
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the child and supervise it.

        Raises ``CannotStart`` with the child's last words if it ends before it is ready.
        """
        process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(process), name=f"supervise {self.name}")

    async def stop(self) -> None:
        """End supervision and the child: by SIGTERM, and SIGKILL once its grace is over."""
        if self._keeper:
            await end(self._keeper)
        await self._end(signal.SIGTERM)

    async def _spawn(self) -> asyncio.subprocess.Process:
        output = None if self._pass_output_through else asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=self._stdin,
                stdout=output,
                stderr=output and asyncio.subprocess.STDOUT,
                env={**os.environ, **(self._environment or {})},
                # Ctrl-C in a terminal reaches the owner alone, which stops its children in order.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise CannotStart(
                part=self.name, reason=f"{self.command[0]}: {error.strerror}"
            ) from error
        if self._process.stdout:
            self._reader = asyncio.create_task(self._read_output(self._process.stdout))
        if self._started:
            await self._until_ready(self._process, self._started)
        return self._process

    async def _until_ready(
        self,
        process: asyncio.subprocess.Process,
        started: Callable[["SupervisedProcess"], Awaitable[None]],
    ) -> None:
        ready = asyncio.ensure_future(started(self))
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return await ready
            if self._reader:
                await self._reader
            failure = CannotStart(part=self.name, reason=f"it ended with {process.returncode}")
            for line in self._last_lines:
                failure.add_note(line)
            raise failure
        except BaseException:
            await self._end(signal.SIGKILL)
            raise
        finally:
            for task in (ready, ended):
                task.cancel()

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        restarts = 0
        clock = asyncio.get_running_loop().time
        while True:
            up_since = clock()
            code = await process.wait()
            if self._may_finish and code == 0:
                log.info("process has finished", process=self.name)
                return
            restarts = 0 if clock() - up_since > _STEADY_SECONDS else restarts + 1
            delay = _RESTART_DELAYS[min(restarts, len(_RESTART_DELAYS) - 1)]
            log.warning("process ended, starting it again", process=self.name, code=code)
            await asyncio.sleep(delay)
            try:
                process = await self._spawn()
            except CannotStart as error:
                log.error(
                    "process does not start",
                    process=self.name,
                    reason=str(error),
                    output=list(self._last_lines),
                )
            except Exception:
                log.exception("process does not start", process=self.name)

    async def _read_output(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # A line that is longer than the stream's buffer is dropped.
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            log.debug("process output", process=self.name, line=text)

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), self._grace_seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
