"""A slot: room for one picture at a time, with a warm child process to filter it."""

import asyncio
import contextlib
from pathlib import Path

from dpip.errors import DpipError
from dpip.model.image import PictureFormat
from dpip.model.job import Failure, FailureCode
from dpip.worker.child_messages import Failed, Filtered, Task
from dpip.worker.slot_process import ChildEnded, ChildProcess

__all__ = ["Filtered", "Slot", "SlotFailure"]

_POLL_SECONDS = 0.1
_MIB = 1024 * 1024


class SlotFailure(DpipError):
    """A picture was not filtered; ``failure`` says why."""

    sentence = "{failure.reason}"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure=failure)
        self.failure = failure
        self.code = failure.code


class Slot:
    """Owns one warm child process, or has the next one on its way.

    A child that crashes, hangs, eats too much or whose picture is given up is killed and replaced
    at once, so an answer can only be to the picture that was asked for last.
    """

    def __init__(self) -> None:
        self._coming: asyncio.Task[ChildProcess] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the child, once it is warm."""
        coming = self._coming
        if coming is None or not coming.done() or coming.cancelled() or coming.exception():
            return None
        return coming.result().pid

    async def start(self) -> None:
        """Return once there is a warm child. Raises ``CannotStart``."""
        await self._warm_child()

    async def filter(
        self,
        source: Path,
        target: Path,
        pipeline: bytes,
        format: PictureFormat,  # noqa: A002
        *,
        memory_limit: int,
        time_limit: float,
    ) -> Filtered:
        """Filter ``source`` into ``target``; a second caller waits until the first is done.

        ``memory_limit`` is in bytes of the child's memory, ``time_limit`` in seconds on the
        pixels. Raises ``SlotFailure``, and then leaves no ``target``, or ``CannotStart`` if there
        can be no child.
        """
        task = Task(
            source=str(source),
            target=str(target),
            pipeline=pipeline,
            format=format,
            memory_limit=memory_limit,
        )
        async with self._turn:
            child = await self._warm_child()
            try:
                return await _filter_within(child, task, time_limit)
            except BaseException as error:
                if not (isinstance(error, SlotFailure) and child.is_idle):
                    await asyncio.shield(self._replace(child))
                    target.unlink(missing_ok=True)
                raise

    async def close(self) -> None:
        """End the child, and with it the picture in work."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, DpipError):
                await (await coming).end()
        await asyncio.gather(*self._ending)

    async def _warm_child(self) -> ChildProcess:
        if self._coming is None or _is_of_no_use(self._coming):
            self._coming = asyncio.create_task(ChildProcess.start(), name="warm up a child")
        # Who gives up waiting for it leaves it to warm up for the next.
        return await asyncio.shield(self._coming)

    def _replace(self, child: ChildProcess) -> asyncio.Task[None]:
        """Have the next child warm up while the last one ends, which the task waits for."""
        if self._coming is not None:  # Not when the slot is being closed.
            self._coming = asyncio.create_task(ChildProcess.start(), name="warm up a child")
        child.kill()
        ending = asyncio.create_task(child.end(), name="end a child")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending


def _is_of_no_use(coming: "asyncio.Task[ChildProcess]") -> bool:
    if not coming.done():
        return False
    return coming.cancelled() or coming.exception() is not None or coming.result().has_ended


async def _filter_within(child: ChildProcess, task: Task, time_limit: float) -> Filtered:
    asking = asyncio.create_task(child.ask(task))
    watching = asyncio.create_task(_outgrows(child, task.memory_limit))
    try:
        await asyncio.wait(
            {asking, watching}, timeout=time_limit, return_when=asyncio.FIRST_COMPLETED
        )
        if asking.done():
            answer = asking.result()
        elif watching.done():
            raise SlotFailure(_out_of_memory(task.memory_limit))
        else:
            raise SlotFailure(
                Failure(
                    code=FailureCode.TIMED_OUT,
                    reason=f"The picture was not done within {time_limit:g} s.",
                )
            )
    except ChildEnded as ended:
        raise SlotFailure(_explain(ended, task.memory_limit)) from ended
    finally:
        for each in (asking, watching):
            each.cancel()
        await asyncio.gather(asking, watching, return_exceptions=True)
    if isinstance(answer, Failed):
        raise SlotFailure(answer.failure)
    return answer


async def _outgrows(child: ChildProcess, limit: int) -> None:
    """Return when the child has more than ``limit`` bytes in memory."""
    while child.resident_bytes() <= limit:
        await asyncio.sleep(_POLL_SECONDS)


def _explain(ended: ChildEnded, memory_limit: int) -> Failure:
    if ended.ran_out_of_memory:
        return _out_of_memory(memory_limit)
    return Failure(
        code=FailureCode.CRASHED, reason=f"The process that filtered the picture {ended}."
    )


def _out_of_memory(limit: int) -> Failure:
    return Failure(
        code=FailureCode.OUT_OF_MEMORY,
        reason=f"The picture needs more than the {limit // _MIB} MiB of memory that it may have.",
    )
