"""Refused results and leases held for too long, and the quarantine of those who keep at it."""

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from dpip.controller.datastore.queries import jobs
from dpip.controller.datastore.queries.fence import shut_out
from dpip.controller.datastore.queries.placing import leases
from dpip.controller.datastore.queries.workers import record
from dpip.controller.datastore.tables import workers
from dpip.model.activity import Activity, ActivityKind
from dpip.model.job import Failure, FailureCode, Lease, RefusedResult
from dpip.model.worker import MOST_REFUSED, WorkerState

_REFUSED_JOBS = (
    select(workers.c.refused_jobs).where(workers.c.name == bindparam("wanted")).with_for_update()
)


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
    refused = _hold_against(connection, held.worker, held.job_id)
    if len(refused) < MOST_REFUSED:
        return RefusedResult(job_is=state, quarantined=False)
    _quarantine(connection, held.worker, reason, now)
    return RefusedResult(job_is=state, quarantined=True)


def _hold_against(connection: Connection, worker: str, job_id: str) -> list[str]:
    """Count the job once; returns all that are counted."""
    known = connection.scalar(_REFUSED_JOBS, {"wanted": worker})
    refused = msgspec.json.decode(known or "[]", type=list[str])
    if job_id not in refused:
        refused.append(job_id)
        connection.execute(
            update(workers)
            .where(workers.c.name == worker)
            .values(refused_jobs=msgspec.json.encode(refused).decode())
        )
    return refused


def _quarantine(connection: Connection, worker: str, reason: str, now: float) -> None:
    connection.execute(
        update(workers)
        .where(workers.c.name == worker)
        .values(state=WorkerState.QUARANTINED.value, running=0, paused=None)
    )
    shut_out(connection, worker)
    for lease in leases(connection):
        if lease.worker == worker:
            jobs.give_back(connection, lease)
    record(
        connection,
        Activity(at=now, kind=ActivityKind.WORKER_QUARANTINED, subject=worker, detail=reason),
    )
