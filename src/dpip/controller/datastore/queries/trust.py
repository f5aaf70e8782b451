"""What is held against a worker, what makes up for it, and the quarantine of those who keep at it.

A result that was refused is, and a lease that was held for too long. So is a failure that another
worker disproves: it has done what the first one could not. The failures of a picture that nobody
can do are never disproved.
"""

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, null, select, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries import jobs
from dpip.controller.datastore.queries.fence import shut_out
from dpip.controller.datastore.queries.placing import leases
from dpip.controller.datastore.queries.workers import record
from dpip.controller.datastore.tables import workers
from dpip.model.activity import Activity, ActivityKind
from dpip.model.image import Image
from dpip.model.job import Failure, FailureCode, Lease, RefusedResult, SettledJob
from dpip.model.worker import FORGIVEN_AFTER, MOST_REFUSED, WorkerState

_HELD_AGAINST = (
    select(workers.c.refused_jobs)
    .where(workers.c.name == bindparam("wanted"), workers.c.state != WorkerState.QUARANTINED.value)
    .with_for_update()
)
_IS_MADE_UP_FOR = workers.c.accepted_since + 1 >= FORGIVEN_AFTER
_ACCEPT = Prepared(
    update(workers)
    .where(workers.c.name == bindparam("by_worker"), workers.c.refused_jobs.is_not(None))
    .values(
        accepted_since=workers.c.accepted_since + 1,
        refused_jobs=case((_IS_MADE_UP_FOR, null()), else_=workers.c.refused_jobs),
    )
)


def complete(
    connection: Connection, held: Lease, filtered: Image, milliseconds: float, now: float
) -> SettledJob:
    settled, failed_by = jobs.complete(connection, held, filtered, milliseconds, now)
    _ACCEPT.run(connection, {"by_worker": held.worker})
    for worker, code in failed_by.items():
        # One that was lost said nothing of the picture.
        if worker != held.worker and code is not FailureCode.WORKER_LOST:
            reason = f"{held.worker} has done what it failed with {code}"
            _hold_against(connection, worker, held.job_id, reason, now)
    return settled


def refuse_result(
    connection: Connection, held: Lease, reason: str, jitter: float, now: float
) -> RefusedResult | None:
    return _fail(connection, held, FailureCode.RESULT_REFUSED, reason, jitter, now)


def time_out(
    connection: Connection, held: Lease, reason: str, jitter: float, now: float
) -> RefusedResult | None:
    return _fail(connection, held, FailureCode.TIMED_OUT, reason, jitter, now)


def release_worker(connection: Connection, name: str, at: float) -> bool:
    quarantined = workers.c.state == WorkerState.QUARANTINED.value
    gone = connection.execute(delete(workers).where(workers.c.name == name, quarantined))
    if gone.rowcount:
        record(connection, Activity(at=at, kind=ActivityKind.WORKER_RELEASED, subject=name))
    return gone.rowcount > 0


def _fail(
    connection: Connection, held: Lease, code: FailureCode, reason: str, jitter: float, now: float
) -> RefusedResult | None:
    state = jobs.fail(connection, held, Failure(code=code, reason=reason), jitter, now)
    if state is None:
        return None
    quarantined = _hold_against(connection, held.worker, held.job_id, reason, now)
    return RefusedResult(job_is=state, quarantined=quarantined)


def _hold_against(
    connection: Connection, worker: str, job_id: str, reason: str, now: float
) -> bool:
    """Count the job once; whether that was once too often, so that the worker is quarantined."""
    known = connection.execute(_HELD_AGAINST, {"wanted": worker}).one_or_none()
    if known is None:
        return False
    held_against = msgspec.json.decode(known.refused_jobs or "[]", type=list[str])
    if job_id not in held_against:
        held_against.append(job_id)
    connection.execute(
        update(workers)
        .where(workers.c.name == worker)
        .values(refused_jobs=msgspec.json.encode(held_against).decode(), accepted_since=0)
    )
    if len(held_against) < MOST_REFUSED:
        return False
    _quarantine(connection, worker, reason, now)
    return True


def _quarantine(connection: Connection, worker: str, reason: str, now: float) -> None:
    connection.execute(
        update(workers)
        .where(workers.c.name == worker)
        .values(
            state=WorkerState.QUARANTINED.value,
            running=0,
            paused=f"is in quarantine: {reason}",
        )
    )
    shut_out(connection, worker)
    for lease in leases(connection):
        if lease.worker == worker:
            jobs.give_back(connection, lease)
    record(
        connection,
        Activity(at=now, kind=ActivityKind.WORKER_QUARANTINED, subject=worker, detail=reason),
    )
