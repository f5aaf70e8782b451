"""Where attempts are worked on: download, filter, upload."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from dpip.errors import CannotStart
from dpip.model.cost import Cost
from dpip.model.job import Failure, FailureCode
from dpip.wire.messages import Outcome, OutcomeKind, Run
from dpip.worker.image_client import (
    ApiAway,
    AttemptIsStale,
    ImageClient,
    OriginalUnavailable,
    ResultRefused,
)
from dpip.worker.scratch import ScratchUnusable
from dpip.worker.slot import Slot, SlotFailure
from dpip.worker.waiting_line import WaitingLine

log = structlog.get_logger()

_HANDED_IN_A_SLOT = 16
"""Results that are on their way: of small pictures several are done while one is committed."""


class Workshop:
    """A number of slots, and a directory where pictures lie while they are worked on.

    Of the attempts taken on, a few have their pictures in the directory: for each slot one that is
    filtered, one that is about to be and up to sixteen that are handed in, and ``prefetch`` more.
    The others wait untouched, in their order. An express attempt has a place beyond these, one a
    slot, and goes before all that wait for a slot.
    """

    def __init__(
        self, slots: int, prefetch: int, scratch: Path, allowed_calls: tuple[str, ...] = ()
    ) -> None:
        """``allowed_calls`` are system calls that children may make beyond the usual ones."""
        self._slots = [Slot(scratch, allowed_calls) for _ in range(slots)]
        self._turns = WaitingLine(self._slots)
        self._places = asyncio.Semaphore(2 * slots + prefetch)
        self._desks = asyncio.Semaphore(_HANDED_IN_A_SLOT * slots)
        self._express_places = asyncio.Semaphore(slots)
        self._scratch = scratch
        self._work: dict[Run, asyncio.Task[Outcome]] = {}
        self._begun: set[Run] = set()

    async def open(self) -> None:
        """Warm the slots. Raises ``CannotStart``."""
        for left_open in set(await asyncio.gather(*(slot.start() for slot in self._slots))):
            if left_open:
                log.warning("pictures are filtered unconfined", left_open="; ".join(left_open))

    async def close(self) -> None:
        """End the child processes."""
        await asyncio.gather(*(slot.close() for slot in self._slots))

    def take_on(self, run: Run, images: ImageClient) -> asyncio.Task[Outcome]:
        """Work on an attempt, from its turn on. The work is cancelled if it is to be given back."""
        work = asyncio.create_task(self.work_on(run, images), name=f"job {run.job_id}")
        self._work[run] = work
        work.add_done_callback(lambda _: self._work.pop(run))
        return work

    def give_back(self, *, begun: bool = False) -> None:
        """Cancel the work on what waits for a slot, and on what has ``begun`` if that is asked."""
        for run, work in self._work.items():
            if begun or run not in self._begun:
                work.cancel()

    async def work_on(self, run: Run, images: ImageClient) -> Outcome:
        """See one attempt through to its outcome. A picture waits here for a slot, downloaded."""
        try:
            async with self._files(run) as (source, target):
                async with self._place_of(run):
                    await images.download(run, source)
                    async with self._turns.turn(express=run.express) as slot:
                        self._begun.add(run)
                        filtered = await slot.filter(
                            source,
                            target,
                            run.pipeline,
                            run.format,
                            memory_limit=run.memory_limit,
                            time_limit=run.time_limit,
                        )
                    # Its place is kept until it can be handed in, which bounds what lies here.
                    await self._desks.acquire()
                try:
                    await images.upload(
                        run,
                        target,
                        milliseconds=filtered.cost.milliseconds,
                        notes=filtered.notes,
                    )
                finally:
                    self._desks.release()
        except SlotFailure as error:
            if error.failure.code is FailureCode.TIMED_OUT:  # What waits was to wait for less.
                self.give_back()
            return _outcome(run, OutcomeKind.FAILED, failure=error.failure)
        except (ResultRefused, OriginalUnavailable) as error:
            failure = Failure(code=FailureCode(error.code), reason=str(error))
            return _outcome(run, OutcomeKind.FAILED, failure=failure)
        except (AttemptIsStale, ApiAway, CannotStart, ScratchUnusable) as error:
            log.warning("job given back", job=run.job_id, attempt=run.attempt, reason=str(error))
            if isinstance(error, ApiAway):  # What waits would find it away for as long again.
                self.give_back()
            return _outcome(run, OutcomeKind.RETURNED)
        finally:
            self._begun.discard(run)
        return _outcome(run, OutcomeKind.DONE, cost=filtered.cost)

    def _place_of(self, run: Run) -> asyncio.Semaphore:
        return self._express_places if run.express else self._places

    @asynccontextmanager
    async def _files(self, run: Run) -> AsyncIterator[tuple[Path, Path]]:
        stem = f"{run.job_id}-{run.attempt}"
        source = self._scratch / f"{stem}-original{run.format.suffix}"
        target = self._scratch / f"{stem}-filtered{run.format.suffix}"
        try:
            yield source, target
        except OSError as error:  # Of the files: those of connections have become other errors.
            raise ScratchUnusable(reason=error) from error
        finally:
            source.unlink(missing_ok=True)
            target.unlink(missing_ok=True)


def _outcome(
    run: Run, kind: OutcomeKind, *, failure: Failure | None = None, cost: Cost | None = None
) -> Outcome:
    return Outcome(job_id=run.job_id, attempt=run.attempt, kind=kind, failure=failure, cost=cost)
