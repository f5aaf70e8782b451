"""The datastore on a database that SQLAlchemy can reach."""

import asyncio
import errno
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.queries import (
    costs,
    explaining,
    jobs,
    join_tokens,
    leadership,
    logins,
    placing,
    repair,
    store,
    trust,
    users,
    workers,
    workloads,
)
from dpip.controller.datastore.schema import bring_up_to_date
from dpip.controller.datastore.write_queue import WriteQueue
from dpip.errors import StorageFull, StorageUnavailable
from dpip.model.activity import Activity
from dpip.model.image import Image
from dpip.model.job import (
    Failure,
    JobState,
    Lease,
    LeasedJob,
    PendingJob,
    RefusedResult,
    SettledJob,
)
from dpip.model.join_token import JoinToken
from dpip.model.leadership import Leader
from dpip.model.placement import JobView, PlacedJob, Placement
from dpip.model.quota import QuotaLimits
from dpip.model.rate import Bound, Count
from dpip.model.user import Caller, PersonalToken, User
from dpip.model.worker import Command, Reading, Worker, WorkerState
from dpip.model.workload import RemovedWorkload, Usage, WaitingWorkload, Workload

T = TypeVar("T")

_READERS = 4
_LONGEST_READ_SECONDS = 10
_SIGNS_OF_A_FULL_DISK = ("disk is full", "disk full", "no space left", "quota exceeded")


class SqlDatastore:
    """Keeps the promises of ``dpip.ports.datastore.Datastore``, where each method is described.

    Writes go through one queue, so that those that wait together share a commit; reads run beside
    it, each on a snapshot of its own.
    """

    def __init__(self, writer: Engine, reader: Engine) -> None:
        self._writer = writer
        self._reader = reader
        self._is_local = reader.dialect.name == "sqlite"
        self._for_rows = reader.connect() if self._is_local else None
        self._writes = WriteQueue(writer)
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="datastore-read")

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the database at ``url`` and bring its tables up to date.

        Raises ``StorageUnavailable`` or ``StorageFull``.
        """
        # One reader more than threads: the event loop's own, for rows.
        writer, reader = open_engines(url, readers=_READERS + 1)
        try:
            with _explained():
                await asyncio.to_thread(bring_up_to_date, writer)
                return cls(writer, reader)
        except BaseException:
            writer.dispose()
            reader.dispose()
            raise

    async def close(self) -> None:
        await asyncio.to_thread(self._writes.close)
        self._threads.shutdown()
        if self._for_rows:
            self._for_rows.close()
        self._reader.dispose()
        self._writer.dispose()

    async def ready(self) -> None:
        await self._read(lambda connection: connection.execute(text("SELECT 1")))
        await self._write(lambda connection: connection.execute(text("SELECT 1")))

    # Users

    async def add_user(self, user: User) -> None:
        await self._write(users.add_user, user)

    async def user_named(self, name: str) -> User | None:
        return await self._read(users.user_named, name)

    async def users(self) -> list[User]:
        return await self._read(users.all_users)

    async def set_password(self, name: str, password_hash: str) -> bool:
        return await self._write(users.set_password, name, password_hash)

    async def set_weight(self, name: str, weight: int) -> bool:
        return await self._write(users.set_weight, name, weight)

    async def remove_user(self, name: str) -> bool:
        return await self._write(users.remove_user, name)

    async def add_token(
        self, token_hash: str, *, user_id: str, created_at: float, expires_at: float
    ) -> None:
        await self._write(users.add_token, token_hash, user_id, created_at, expires_at)

    async def add_personal_token(self, token_hash: str, token: PersonalToken) -> None:
        await self._write(users.add_personal_token, token_hash, token)

    async def personal_tokens(self, *, user_id: str | None) -> list[PersonalToken]:
        return await self._read(users.personal_tokens, user_id)

    async def revoke_token(self, token_id: str, *, user_id: str | None) -> bool:
        return await self._write(users.revoke_token, token_id, user_id)

    async def note_token_use(self, used: Mapping[str, float]) -> None:
        if used:
            await self._write(users.note_token_use, used)

    async def add_worker_token(self, token_hash: str, *, worker: str, created_at: float) -> None:
        await self._write(users.add_worker_token, token_hash, worker, created_at)

    async def caller(self, token_hash: str, now: float) -> Caller | None:
        return await self._read_row(users.caller, token_hash, now)

    async def remove_token(self, token_hash: str) -> None:
        await self._write(users.remove_token, token_hash)

    # Logins

    async def knows_address(self, pair: str) -> bool:
        return await self._read_row(logins.knows_address, pair)

    async def begin_login(self, bounds: Sequence[Bound], now: float) -> list[int]:
        to_wait = await self._read_row(logins.waits, bounds, now)
        return to_wait if any(to_wait) else await self._write(logins.begin_login, bounds, now)

    async def end_login(self, pair: str, bounds: Sequence[Bound], began_at: float) -> None:
        await self._write(logins.end_login, pair, bounds, began_at)

    # Workloads

    async def add_workload(self, workload: Workload) -> None:
        await self._write(workloads.add_workload, workload)

    async def workload(self, workload_id: str) -> Workload | None:
        return await self._read_row(workloads.workload, workload_id)

    async def workloads(
        self, *, owner_id: str | None, limit: int, before: str | None = None
    ) -> list[Workload]:
        return await self._read(workloads.page_of_workloads, owner_id, limit, before)

    async def active_workloads(self, *, owner_id: str | None, limit: int) -> list[Workload]:
        return await self._read(workloads.active_workloads, owner_id, limit)

    async def usage(self, owner_id: str) -> Usage:
        return await self._read_row(workloads.usage, owner_id)

    async def filtered_image_ids(self, workload_id: str) -> list[str]:
        return await self._read(workloads.filtered_image_ids, workload_id)

    async def failed_jobs(self, workload_id: str) -> list[SettledJob]:
        return await self._read(workloads.failed_jobs, workload_id)

    async def settled_jobs(self, workload_id: str, *, after: int, limit: int) -> list[SettledJob]:
        return await self._read(workloads.settled_jobs, workload_id, after, limit)

    async def recent_uploads(self, owner_id: str, now: float) -> list[Count]:
        return await self._read_row(workloads.recent_uploads, owner_id, now)

    async def count_upload(self, owner_id: str, now: float) -> None:
        await self._write(workloads.count_upload, owner_id, now)

    async def add_original(
        self,
        image: Image,
        job_id: str,
        key: str | None = None,
        *,
        limits: QuotaLimits | None = None,
    ) -> Image:
        return await self._write(workloads.add_original, image, job_id, key, limits)

    async def retry_failed(self, workload_id: str) -> int:
        return await self._write(workloads.retry_failed, workload_id)

    async def remove_workload(self, workload_id: str, now: float) -> None:
        await self._write(workloads.remove_workload, workload_id, now)

    async def removed_workloads(self, workload_id: str | None = None) -> list[RemovedWorkload]:
        return await self._read(workloads.removed_workloads_of, workload_id)

    async def removed_images(self) -> list[Image]:
        return await self._read(workloads.images_to_remove)

    async def forget_removed_images(self, image_ids: Sequence[str]) -> None:
        if image_ids:
            await self._write(workloads.forget_removed_images, image_ids)

    async def forget_removed_workloads(self, before: float) -> None:
        await self._write(workloads.forget_removed_workloads, before)

    async def remove_settled(self, workload_id: str, *, through: int) -> list[Image]:
        return await self._write(workloads.remove_settled, workload_id, through)

    async def image(self, image_id: str) -> Image | None:
        return await self._read_row(workloads.image, image_id)

    async def recorded_images(self, image_ids: Collection[str]) -> set[str]:
        # A server may yet commit what a process that is gone has asked of it; a file does not.
        ask = self._read if self._is_local else self._write
        return await ask(workloads.recorded_images, image_ids)

    # Jobs

    async def waiting_workloads(self) -> list[WaitingWorkload]:
        return await self._read(placing.waiting_workloads)

    async def waiting_workload(self, workload_id: str) -> WaitingWorkload | None:
        return await self._read_row(placing.waiting_workload, workload_id)

    async def pending_jobs(self, workload_id: str, *, now: float, limit: int) -> list[PendingJob]:
        return await self._read(placing.pending_jobs, workload_id, now, limit)

    async def jobs_before(self, job_id: str) -> int:
        return await self._read(explaining.jobs_before, job_id)

    async def pending_count(self) -> int:
        return await self._read_row(placing.pending_count)

    async def lease(self, placements: Sequence[Placement], *, term: int) -> list[Lease]:
        return await self._write(placing.lease, placements, term) if placements else []

    async def lease_again(self, placement: Placement, *, term: int) -> Lease | None:
        return await self._write(placing.lease_again, placement, term)

    async def fail_pending(
        self, job_ids: Sequence[str], failure: Failure, *, term: int, now: float
    ) -> list[SettledJob]:
        return await self._write(placing.fail_pending, job_ids, failure, term, now)

    async def leases(self) -> list[Lease]:
        return await self._read(placing.leases)

    async def placed_jobs(self, job_ids: Collection[str]) -> list[PlacedJob]:
        return await self._read(placing.placed_jobs, job_ids) if job_ids else []

    async def job_of_image(self, image_id: str) -> JobView | None:
        return await self._read_row(explaining.job_of_image, image_id)

    async def quarantined_workers(self) -> set[str]:
        return await self._read(workers.quarantined_workers)

    async def leased_image(self, image_id: str, worker: str) -> bool:
        return await self._read_row(jobs.leased_image, image_id, worker)

    async def leased_job(self, lease: Lease) -> LeasedJob | None:
        return await self._read_row(jobs.leased_job, lease)

    async def complete(
        self, lease: Lease, filtered: Image, *, milliseconds: float, now: float
    ) -> SettledJob:
        return await self._write(trust.complete, lease, filtered, milliseconds, now)

    async def give_back(self, lease: Lease) -> bool:
        return await self._write(jobs.give_back, lease)

    async def fail(
        self, lease: Lease, failure: Failure, *, jitter: float, now: float
    ) -> JobState | None:
        return await self._write(jobs.fail, lease, failure, jitter, now)

    async def refuse_result(
        self, lease: Lease, reason: str, *, jitter: float, now: float
    ) -> RefusedResult | None:
        return await self._write(trust.refuse_result, lease, reason, jitter, now)

    async def time_out(
        self, lease: Lease, reason: str, *, jitter: float, now: float
    ) -> RefusedResult | None:
        return await self._write(trust.time_out, lease, reason, jitter, now)

    # Leadership

    async def leader(self, part: str) -> Leader:
        return await self._read_row(leadership.leader, part)

    async def take_lead(self, part: str, holder: str, *, after_term: int) -> int | None:
        return await self._write(leadership.take_lead, part, holder, after_term)

    async def keep_lead(self, part: str, *, term: int) -> bool:
        return await self._write(leadership.keep_lead, part, term)

    async def resign(self, part: str, *, term: int) -> None:
        await self._write(leadership.resign, part, term)

    # Costs

    async def cost_models(self) -> dict[str, str]:
        return await self._read(costs.all_cost_models)

    async def keep_cost_models(self, models: Mapping[str, str]) -> None:
        if models:
            await self._write(costs.keep_cost_models, models)

    # Workers

    async def add_worker(self, worker: Worker) -> None:
        await self._write(workers.add_worker, worker)

    async def worker(self, name: str) -> Worker | None:
        return await self._read(workers.worker, name)

    async def workers(self) -> list[Worker]:
        return await self._read(workers.all_workers)

    async def join_tokens_at_work(self) -> dict[str, str | None]:
        return await self._read(workers.join_tokens_at_work)

    async def record_heartbeats(self, beats: Sequence[Reading], *, history: bool) -> None:
        if beats:
            await self._write(workers.record_heartbeats, beats, history)

    async def end_worker(self, name: str, state: WorkerState, at: float) -> None:
        await self._write(workers.end_worker, name, state, at)

    async def set_command(self, name: str, command: Command | None) -> None:
        await self._write(workers.set_command, name, command)

    async def release_worker(self, name: str, at: float) -> bool:
        return await self._write(trust.release_worker, name, at)

    # Join tokens

    async def add_join_token(self, token: JoinToken) -> None:
        await self._write(join_tokens.add_join_token, token)

    async def replace_join_token(self, token: JoinToken) -> bool:
        return await self._write(join_tokens.replace_join_token, token)

    async def remove_join_token(self, name: str) -> bool:
        return await self._write(join_tokens.remove_join_token, name)

    async def join_token(self, token_id: str) -> JoinToken | None:
        return await self._read_row(join_tokens.join_token, token_id)

    async def join_tokens(self) -> list[JoinToken]:
        return await self._read(join_tokens.all_join_tokens)

    # The image store

    async def store_id(self) -> str | None:
        return await self._read(store.store_id)

    async def tie_store(self, store_id: str, *, anew: bool = False) -> str:
        return await self._write(store.tie_store, store_id, anew)

    async def workloads_with_images(self) -> set[str]:
        return await self._read(store.workloads_with_images)

    async def images_after(self, image_id: str, *, limit: int) -> list[Image]:
        return await self._read(repair.images_after, image_id, limit)

    async def results_of(self, workload_id: str) -> list[Image]:
        return await self._read(repair.results_of, workload_id)

    async def add_found_result(self, result: Image) -> bool:
        return await self._write(repair.add_found_result, result)

    async def forget_lost_result(self, result: Image) -> None:
        await self._write(repair.forget_lost_result, result)

    async def fail_without_original(self, original: Image, failure: Failure, now: float) -> bool:
        return await self._write(repair.fail_without_original, original, failure, now)

    # History

    async def activities(self, *, limit: int) -> list[Activity]:
        return await self._read(workers.latest_activities, limit)

    async def prune_history(self, before: float) -> int:
        return await self._write(workers.prune_history, before)

    async def forget_workers(self, before: float) -> int:
        return await self._write(workers.forget_workers, before)

    async def _write(self, query: Callable[..., T], *arguments: Any) -> T:
        with _explained():
            return await self._writes.run(lambda connection: query(connection, *arguments))

    async def _read(self, query: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        with _explained():
            async with asyncio.timeout(_LONGEST_READ_SECONDS):
                return await loop.run_in_executor(self._threads, self._read_now, query, arguments)

    async def _read_row(self, query: Callable[..., T], *arguments: Any) -> T:
        """Read what is found by one key.

        In a local file that is done sooner than it is handed to a thread and back.
        """
        if self._for_rows is None:
            return await self._read(query, *arguments)
        with _explained():
            return query(self._for_rows, *arguments)

    def _read_now(self, query: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        with self._reader.connect() as connection:
            return query(connection, *arguments)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise _explain(error) from error


def _explain(error: Exception) -> Exception:
    """Return what a caller is to be told of a failure of the database."""
    message = str(getattr(error, "orig", error)).strip()
    full = any(sign in message.lower() for sign in _SIGNS_OF_A_FULL_DISK)
    if full or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return StorageFull()
    if isinstance(error, DBAPIError | PoolTimeoutError | OSError):
        if isinstance(error, TimeoutError):
            message = message or "it does not answer in time"
        return StorageUnavailable(storage="datastore", reason=message or type(error).__name__)
    return error
