"""A slot: room for one picture at a time, with a warm child process to filter it."""

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path

import structlog
from msgspec import Struct

from dpip.chores import end
from dpip.errors import DpipError
from dpip.model.cost import Cost
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.job import Failure, FailureCode
from dpip.model.note import Note
from dpip.worker.child_messages import Failed, Filtered, Task, Unwritten
from dpip.worker.scratch import ScratchUnusable
from dpip.worker.slot_process import ChildEnded, ChildProcess

log = structlog.get_logger()

_POLL_SECONDS = 0.1
_POLL_IDLE_SECONDS = 0.5
_MIB = 1024 * 1024


class SlotFailure(DpipError):
    """A picture was not filtered; ``failure`` says why."""

    sentence = "{failure.reason}"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure=failure)
        self.failure = failure
        self.code = failure.code


class FilteredPicture(Struct, frozen=True, kw_only=True):
    """What was written, what it took, and what its owner should know of it."""

    header: PictureHeader
    cost: Cost
    notes: tuple[Note, ...] = ()


class Slot:
    """Owns one warm child process, or has the next one on its way.

    A child that crashes, hangs, eats too much or whose picture is given up is killed and replaced
    at once, so an answer can only be to the picture that was asked for last.
    """

    def __init__(self, scratch: Path, allowed_calls: tuple[str, ...] = ()) -> None:
        """``allowed_calls`` are system calls that a child may make beyond the usual ones."""
        self._scratch = scratch
        self._allowed_calls = allowed_calls
        self._memory_limit = 0
        self._watch: asyncio.Task[None] | None = None
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

    async def start(self) -> tuple[str, ...]:
        """Return once there is a warm child, with what the platform could not deny it.

        Raises ``CannotStart``.
        """
        left_open = (await self._warm_child()).left_open
        self._watch = asyncio.create_task(self._watch_idle_child(), name="watch an idle child")
        return left_open

    async def filter(
        self,
        source: Path,
        target: Path,
        pipeline: bytes,
        format: PictureFormat,  # noqa: A002
        *,
        memory_limit: int,
        time_limit: float,
    ) -> FilteredPicture:
        """Filter ``source``, which is used up, into ``target``.

        Both are on the file system of the scratch directory. A second caller waits until the first
        is done. Nobody can write to ``target`` any more when it is there. ``memory_limit`` is in
        bytes of the child's memory, ``time_limit`` in seconds on the pixels, by the clock and of
        CPU. Raises ``SlotFailure`` or ``ScratchUnusable``, and then leaves no ``target``, or
        ``CannotStart`` if there can be no child.
        """
        task = Task(pipeline=pipeline, format=format)
        async with self._turn:
            child = await self._warm_child()
            self._memory_limit = memory_limit
            try:
                asking = child.ask(
                    source, target, task, memory_limit=memory_limit, cpu_seconds=time_limit
                )
                filtered = await _filter_within(child, asking, memory_limit, time_limit)
            except BaseException as error:
                if not (isinstance(error, SlotFailure | ScratchUnusable) and child.is_idle):
                    await asyncio.shield(self._replace(child))
                    target.unlink(missing_ok=True)
                raise
            cost = Cost(
                milliseconds=filtered.milliseconds,
                cpu_milliseconds=filtered.cpu_milliseconds,
                memory=child.memory.peak(),
            )
            return FilteredPicture(header=filtered.header, cost=cost, notes=filtered.notes)

    async def close(self) -> None:
        """End the child, and with it the picture in work."""
        if self._watch:
            await end(self._watch)
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, DpipError):
                await (await coming).end()
        await asyncio.gather(*self._ending)

    async def _warm_child(self) -> ChildProcess:
        if self._coming is None or _is_of_no_use(self._coming):
            self._coming = self._start_child()
        # Who gives up waiting for it leaves it to warm up for the next.
        return await asyncio.shield(self._coming)

    def _start_child(self) -> "asyncio.Task[ChildProcess]":
        return asyncio.create_task(
            ChildProcess.start(self._scratch, self._allowed_calls), name="warm up a child"
        )

    async def _watch_idle_child(self) -> None:
        """Replace a child that grows, or ends, though it has nothing to do."""
        while True:
            await asyncio.sleep(_POLL_IDLE_SECONDS)
            if self._turn.locked() or not self._memory_limit or self.pid is None:
                continue
            assert self._coming is not None  # noqa: S101  # nosec B101 # for the type checker
            child = self._coming.result()
            if child.has_ended or _too_much(child, self._memory_limit):
                log.warning("replacing a child that grew or ended while it was idle", pid=child.pid)
                await asyncio.shield(self._replace(child))

    def _replace(self, child: ChildProcess) -> asyncio.Task[None]:
        """Have the next child warm up while the last one ends, which the task waits for."""
        if self._coming is not None:  # Not when the slot is being closed.
            self._coming = self._start_child()
        child.kill()
        ending = asyncio.create_task(child.end(), name="end a child")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending


def _is_of_no_use(coming: "asyncio.Task[ChildProcess]") -> bool:
    if not coming.done():
        return False
    return coming.cancelled() or coming.exception() is not None or coming.result().has_ended


async def _filter_within(
    child: ChildProcess,
    answer_to_come: Coroutine[None, None, Filtered | Failed | Unwritten],
    memory_limit: int,
    time_limit: float,
) -> Filtered:
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + time_limit
    asking = asyncio.create_task(answer_to_come)
    try:
        while not asking.done():
            left = give_up_at - clock()
            if left <= 0:
                raise SlotFailure(_timed_out(time_limit))
            await asyncio.wait({asking}, timeout=min(left, _POLL_SECONDS))
            if not asking.done() and (failure := _too_much(child, memory_limit)):
                raise SlotFailure(failure)
        answer = asking.result()
    except ChildEnded as ended:
        raise SlotFailure(_explain(ended, memory_limit, time_limit)) from ended
    finally:
        if not asking.done():
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    if isinstance(answer, Failed):
        raise SlotFailure(answer.failure)
    if isinstance(answer, Unwritten):
        raise ScratchUnusable(reason=answer.reason)
    return answer


def _too_much(child: ChildProcess, memory_limit: int) -> Failure | None:
    if child.memory.now() > memory_limit:
        return _out_of_memory(memory_limit)
    if excess := child.excess():
        return Failure(
            code=FailureCode.CRASHED,
            reason=f"The process that filtered the picture had {excess} and was stopped.",
        )
    return None


def _explain(ended: ChildEnded, memory_limit: int, time_limit: float) -> Failure:
    if ended.ran_out_of_memory:
        return _out_of_memory(memory_limit)
    if ended.ran_out_of_cpu:
        return _timed_out(time_limit)
    return Failure(
        code=FailureCode.CRASHED, reason=f"The process that filtered the picture {ended}."
    )


def _timed_out(limit: float) -> Failure:
    return Failure(
        code=FailureCode.TIMED_OUT, reason=f"The picture was not done within {limit:g} s."
    )


def _out_of_memory(limit: int) -> Failure:
    return Failure(
        code=FailureCode.OUT_OF_MEMORY,
        reason=f"The picture needs more than the {limit // _MIB} MiB of memory that it may have.",
    )
