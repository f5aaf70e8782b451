"""Where attempts are worked on: download, filter, upload."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from dpip.errors import CannotStart
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

log = structlog.get_logger()


class Workshop:
    """A number of slots, and a directory where pictures lie while they are worked on."""

    def __init__(self, slots: int, scratch: Path) -> None:
        self._slots = [Slot(scratch) for _ in range(slots)]
        self._free: asyncio.LifoQueue[Slot] = asyncio.LifoQueue()
        self._scratch = scratch

    async def open(self) -> None:
        """Warm the slots. Raises ``CannotStart``."""
        for left_open in set(await asyncio.gather(*(slot.start() for slot in self._slots))):
            if left_open:
                log.warning("pictures are filtered unconfined", left_open="; ".join(left_open))
        for slot in self._slots:
            self._free.put_nowait(slot)

    async def close(self) -> None:
        """End the child processes."""
        await asyncio.gather(*(slot.close() for slot in self._slots))

    async def work_on(self, run: Run, images: ImageClient) -> Outcome:
        """See one attempt through to its outcome. A picture waits here for a slot, downloaded."""
        try:
            async with self._files(run) as (source, target):
                await images.download(run.image_id, source)
                async with self._a_slot() as slot:
                    filtered = await slot.filter(
                        source,
                        target,
                        run.pipeline,
                        run.format,
                        memory_limit=run.memory_limit,
                        time_limit=run.time_limit,
                    )
                await images.upload(run, target, milliseconds=filtered.milliseconds)
        except SlotFailure as error:
            return _outcome(run, OutcomeKind.FAILED, error.failure)
        except (ResultRefused, OriginalUnavailable) as error:
            failure = Failure(code=FailureCode(error.code), reason=str(error))
            return _outcome(run, OutcomeKind.FAILED, failure)
        except (AttemptIsStale, ApiAway, CannotStart, ScratchUnusable) as error:
            log.warning("job given back", job=run.job_id, attempt=run.attempt, reason=str(error))
            return _outcome(run, OutcomeKind.RETURNED)
        return _outcome(run, OutcomeKind.DONE)

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

    @asynccontextmanager
    async def _a_slot(self) -> AsyncIterator[Slot]:
        slot = await self._free.get()
        try:
            yield slot
        finally:
            self._free.put_nowait(slot)


def _outcome(run: Run, kind: OutcomeKind, failure: Failure | None = None) -> Outcome:
    return Outcome(job_id=run.job_id, attempt=run.attempt, kind=kind, failure=failure)
