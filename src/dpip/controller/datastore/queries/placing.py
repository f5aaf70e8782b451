"""What placement asks for and decides.

Locks on jobs that are pending are taken before those on their workloads, each in the order of ids.
What is decided is compared on the scheduler's term in the same transaction.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, or_, select, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.jobs import failed_by_in
from dpip.controller.datastore.queries.leadership import check_term
from dpip.controller.datastore.queries.locks import lock_workload_of
from dpip.controller.datastore.queries.settling import record_failure, settle
from dpip.controller.datastore.queries.workers import quarantined_workers
from dpip.controller.datastore.queries.workloads import (
    counts_in,
    requirements_in,
)
from dpip.controller.datastore.tables import images, jobs, users, workloads
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.job import (
    MAX_RETRY_DELAY,
    Failure,
    JobState,
    Lease,
    PendingJob,
    SettledJob,
)
from dpip.model.leadership import SCHEDULER
from dpip.model.placement import PlacedJob, Placement, Why
from dpip.model.workload import WaitingWorkload

_NOBODY: frozenset[str] = frozenset()

_IS_ACTIVE = or_(workloads.c.pending > 0, workloads.c.leased > 0)
"""As in the index of these."""

_WAITING = (
    select(workloads, func.coalesce(users.c.weight, 1).label("owner_weight"))
    .outerjoin_from(workloads, users, workloads.c.owner_id == users.c.id)
    .where(_IS_ACTIVE, workloads.c.pending > 0)
)
_WAITING_WORKLOADS = Prepared(_WAITING.order_by(workloads.c.id))
_WAITING_WORKLOAD = Prepared(_WAITING.where(workloads.c.id == bindparam("wanted")))
_HEADER = (
    images.c.format,
    images.c.width,
    images.c.height,
    images.c.frames,
    images.c.bands,
    images.c.depth,
)
_PENDING_JOBS = Prepared(
    select(
        jobs.c.id,
        jobs.c.image_id,
        jobs.c.failures,
        jobs.c.failed_by,
        workloads.c.name,
        workloads.c.pipeline,
        images.c.size,
        images.c.sha256,
        *_HEADER,
    )
    .join_from(jobs, workloads, jobs.c.workload_id == workloads.c.id)
    .join(images, jobs.c.image_id == images.c.id)
    .where(jobs.c.workload_id == bindparam("of_workload"), jobs.c.state == JobState.PENDING.value)
    .where(or_(jobs.c.retry_at <= bindparam("now"), jobs.c.retry_at > bindparam("too_late")))
    .order_by(jobs.c.id)
    .limit(bindparam("most"))
)
_PENDING_COUNT = Prepared(select(func.sum(workloads.c.pending)).where(_IS_ACTIVE))
_LOCK_PENDING = (
    select(jobs.c.id, jobs.c.attempt, jobs.c.workload_id, jobs.c.image_id)
    .where(
        jobs.c.id.in_(bindparam("job_ids", expanding=True)),
        jobs.c.state == JobState.PENDING.value,
    )
    .order_by(jobs.c.id)
    .with_for_update()
)
_LEASE = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_job"))
    .values(
        state=JobState.LEASED.value,
        attempt=bindparam("as_attempt"),
        worker=bindparam("to_worker"),
        why=bindparam("because"),
    )
)
_LEASE_EACH = Prepared(_LEASE)
_COUNT_LEASED = Prepared(
    update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(
        started=True,
        pending=workloads.c.pending - bindparam("moved"),
        leased=workloads.c.leased + bindparam("moved"),
    )
)
_LEASED = select(jobs.c.attempt, jobs.c.worker, jobs.c.why, jobs.c.rival_worker).where(
    jobs.c.id == bindparam("of_job"), jobs.c.state == JobState.LEASED.value
)
_FAIL_PENDING = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_job"))
    .values(
        state=JobState.FAILED.value,
        position=bindparam("at_position"),
        failure_code=bindparam("with_code"),
        failure_reason=bindparam("with_reason"),
    )
)
_LEASES = select(
    jobs.c.id, jobs.c.attempt, jobs.c.worker, jobs.c.rival_attempt, jobs.c.rival_worker
).where(jobs.c.state == JobState.LEASED.value)
_PLACED_JOBS = (
    select(
        jobs,
        workloads.c.owner_id,
        workloads.c.name,
        workloads.c.pipeline,
        images.c.size,
        images.c.sha256,
        *_HEADER,
    )
    .join_from(jobs, images, jobs.c.image_id == images.c.id)
    .join(workloads, jobs.c.workload_id == workloads.c.id)
    .where(
        jobs.c.id.in_(bindparam("job_ids", expanding=True)),
        jobs.c.state == JobState.LEASED.value,
    )
    .order_by(jobs.c.id)
)


def waiting_workloads(connection: Connection) -> list[WaitingWorkload]:
    return [_waiting(row) for row in _WAITING_WORKLOADS.rows(connection, {})]


def waiting_workload(connection: Connection, workload_id: str) -> WaitingWorkload | None:
    row = _WAITING_WORKLOAD.row(connection, {"wanted": workload_id})
    return _waiting(row) if row else None


def pending_jobs(
    connection: Connection, workload_id: str, now: float, limit: int
) -> list[PendingJob]:
    window = {
        "of_workload": workload_id,
        "now": now,
        "too_late": now + MAX_RETRY_DELAY,
        "most": limit,
    }
    # Unpacked, not by name: a backlog of a thousand is read many times a second.
    return [
        PendingJob(
            id=job_id,
            workload_id=workload_id,
            workload_name=workload_name,
            image_id=image_id,
            pipeline=pipeline,
            header=_header(header),
            size=size,
            sha256=sha256,
            failures=failures,
            failed_by=_names_in(failed_by),
        )
        for (
            job_id,
            image_id,
            failures,
            failed_by,
            workload_name,
            pipeline,
            size,
            sha256,
            *header,
        ) in _PENDING_JOBS.rows(connection, window)
    ]


def pending_count(connection: Connection) -> int:
    return int(_PENDING_COUNT.value(connection, {}) or 0)


def lease(connection: Connection, placements: Sequence[Placement], term: int) -> list[Lease]:
    check_term(connection, SCHEDULER, term)
    quarantined = quarantined_workers(connection)
    # Locked in one order, so that two who lease the same jobs do not wait for each other.
    wanted = {"job_ids": [placement.job_id for placement in placements]}
    pending = {
        job_id: (attempt, workload_id)
        for job_id, attempt, workload_id, _ in connection.execute(_LOCK_PENDING, wanted)
    }
    leases, moves = [], []
    leased_of_workload: Counter[str] = Counter()
    for placement in placements:
        if placement.job_id not in pending or placement.worker in quarantined:
            continue
        attempt, workload_id = pending.pop(placement.job_id)
        held = Lease(job_id=placement.job_id, attempt=attempt + 1, worker=placement.worker)
        leases.append(held)
        moves.append(_blanks(held, placement.why))
        leased_of_workload[workload_id] += 1
    if moves:
        _LEASE_EACH.run_each(connection, moves)
    for workload_id, count in sorted(leased_of_workload.items()):
        _COUNT_LEASED.run(connection, {"of_workload": workload_id, "moved": count})
    return leases


def lease_again(connection: Connection, placement: Placement, term: int) -> Lease | None:
    check_term(connection, SCHEDULER, term)
    lock_workload_of(connection, placement.job_id)
    job = connection.execute(_LEASED, {"of_job": placement.job_id}).one_or_none()
    if job is None or placement.worker in quarantined_workers(connection):
        return None
    if placement.worker in (job.worker, job.rival_worker) or (job.worker and job.rival_worker):
        return None
    held = Lease(job_id=placement.job_id, attempt=job.attempt + 1, worker=placement.worker)
    step_aside = {}
    if job.worker:
        step_aside = {
            "rival_attempt": job.attempt,
            "rival_worker": job.worker,
            "rival_why": job.why,
        }
    connection.execute(_LEASE.values(step_aside), _blanks(held, placement.why))
    return held


def fail_pending(
    connection: Connection, job_ids: Sequence[str], failure: Failure, term: int, now: float
) -> list[SettledJob]:
    check_term(connection, SCHEDULER, term)
    of_workload = defaultdict(list)
    for job in connection.execute(_LOCK_PENDING, {"job_ids": list(job_ids)}):
        of_workload[job.workload_id].append(job)
    settled = []
    for workload_id, unfit in sorted(of_workload.items()):
        last = settle(
            connection, workload_id, JobState.PENDING, JobState.FAILED, now, jobs=len(unfit)
        )
        for position, job in enumerate(unfit, last - len(unfit) + 1):
            connection.execute(
                _FAIL_PENDING,
                {
                    "of_job": job.id,
                    "at_position": position,
                    "with_code": failure.code.value,
                    "with_reason": failure.reason,
                },
            )
            record_failure(connection, job.id, failure, now)
            settled.append(
                SettledJob(
                    position=position,
                    image_id=job.image_id,
                    state=JobState.FAILED,
                    failure=failure,
                )
            )
    return settled


def leases(connection: Connection) -> list[Lease]:
    return [held for row in connection.execute(_LEASES) for held in leases_in(row)]


def placed_jobs(connection: Connection, job_ids: Collection[str]) -> list[PlacedJob]:
    return [
        PlacedJob(
            lease=held,
            job=PendingJob(
                id=row.id,
                workload_id=row.workload_id,
                workload_name=row.name,
                image_id=row.image_id,
                pipeline=row.pipeline,
                header=_header(row[-len(_HEADER) :]),
                size=row.size,
                sha256=row.sha256,
                failures=row.failures,
                failed_by=_names_in(row.failed_by),
            ),
            owner_id=row.owner_id,
            why=why_in(row.why if held.attempt == row.attempt else row.rival_why),
        )
        for row in connection.execute(_PLACED_JOBS, {"job_ids": list(job_ids)})
        for held in leases_in(row)
    ]


def _waiting(row: Any) -> WaitingWorkload:
    return WaitingWorkload(
        id=row.id,
        owner_id=row.owner_id,
        owner_weight=row.owner_weight,
        pipeline=row.pipeline,
        requirements=requirements_in(row),
        counts=counts_in(row),
    )


def leases_in(row: Any) -> Iterator[Lease]:
    """The leases in a row of ``jobs`` that is leased."""
    if row.rival_worker is not None:
        yield Lease(job_id=row.id, attempt=row.rival_attempt, worker=row.rival_worker)
    if row.worker is not None:
        yield Lease(job_id=row.id, attempt=row.attempt, worker=row.worker)


def why_in(kept: str | None) -> Why | None:
    """What was kept of a placement; ``None`` if it cannot be read."""
    try:
        return msgspec.json.decode(kept or "", type=Why)
    except msgspec.DecodeError:
        return None


def _names_in(failed_by: str | None) -> frozenset[str]:
    return frozenset(failed_by_in(failed_by)) if failed_by else _NOBODY


def _blanks(held: Lease, why: Why) -> dict[str, Any]:
    return {
        "of_job": held.job_id,
        "as_attempt": held.attempt,
        "to_worker": held.worker,
        "because": msgspec.json.encode(why).decode(),
    }


def _header(columns: Sequence[Any]) -> PictureHeader:
    format_name, width, height, frames, bands, depth = columns
    return PictureHeader(
        format=PictureFormat(format_name),
        width=width,
        height=height,
        frames=frames,
        bands=bands,
        depth=depth,
    )
