"""Workers, their readings over time, and the record of activity."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, insert, null, or_, select, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries.fence import shut_out
from dpip.controller.datastore.tables import activities, join_tokens, utilisation, workers
from dpip.errors import NotFound, WorkerGone, WorkerQuarantined
from dpip.model.activity import Activity, ActivityKind
from dpip.model.worker import AT_WORK, Command, Reading, Resources, Worker, WorkerState

_FORMER = (
    select(workers.c.state, workers.c.refused_jobs, workers.c.accepted_since, workers.c.command)
    .where(workers.c.name == bindparam("wanted"))
    .with_for_update()
)
_QUARANTINED = Prepared(
    select(workers.c.name).where(workers.c.state == WorkerState.QUARANTINED.value)
)
_IS_AT_LARGE = workers.c.state != WorkerState.QUARANTINED.value
_IS_AT_WORK = or_(*(workers.c.state == state.value for state in AT_WORK))
_HAS_GONE = or_(
    workers.c.state == WorkerState.LEFT.value, workers.c.state == WorkerState.LOST.value
)
# Whoever comes back under the name of one that was to drain, comes to work.
_ONCE_GONE = case((workers.c.command == Command.DRAIN.value, null()), else_=workers.c.command)
_UNREADABLE = Resources(cpu=0, cores=0, memory_total=0, memory_available=0)


def add_worker(connection: Connection, worker: Worker) -> None:
    former = connection.execute(_FORMER, {"wanted": worker.name}).one_or_none()
    if former and former.state == WorkerState.QUARANTINED.value:
        raise WorkerQuarantined(name=worker.name)
    connection.execute(delete(workers).where(workers.c.name == worker.name))
    connection.execute(
        insert(workers).values(
            name=worker.name,
            instance=worker.instance,
            join_token=worker.join_token,
            tags=_json(worker.tags),
            slots=worker.slots,
            prefetch=worker.prefetch,
            state=worker.state.value,
            resources=_json(worker.resources),
            running=worker.running,
            joined_at=worker.joined_at,
            last_seen=worker.last_seen,
            refused_jobs=former.refused_jobs if former else None,
            accepted_since=former.accepted_since if former else 0,
            command=former.command if former else _value(worker.command),
            paused=worker.paused,
        )
    )
    connection.execute(
        update(join_tokens)
        .where(join_tokens.c.id == worker.join_token)
        .values(last_used_at=worker.joined_at)
    )
    record(
        connection,
        Activity(at=worker.joined_at, kind=ActivityKind.WORKER_JOINED, subject=worker.name),
    )


def worker(connection: Connection, name: str) -> Worker | None:
    row = connection.execute(select(workers).where(workers.c.name == name)).one_or_none()
    return _worker(row) if row else None


def all_workers(connection: Connection) -> list[Worker]:
    return [_worker(row) for row in connection.execute(select(workers).order_by(workers.c.name))]


def join_tokens_at_work(connection: Connection) -> dict[str, str | None]:
    at_work = select(workers.c.name, workers.c.join_token).where(_IS_AT_WORK)
    return {row.name: row.join_token for row in connection.execute(at_work)}


def quarantined_workers(connection: Connection) -> set[str]:
    return {row.name for row in _QUARANTINED.rows(connection, {})}


def record_heartbeats(
    connection: Connection,
    beats: Sequence[Reading],
    history: bool,
) -> None:
    readings = [
        {
            "worker": beat.worker,
            "alive": beat.state.value,
            "reason": beat.paused,
            "resources": _json(beat.resources),
            "running": beat.running,
            "at": beat.at,
        }
        for beat in beats
    ]
    connection.execute(
        update(workers)
        .where(workers.c.name == bindparam("worker"))
        # One that has gone comes back by a hello, not by a reading that was on its way.
        .where(_IS_AT_WORK)
        .values(
            state=bindparam("alive"),
            paused=bindparam("reason"),
            resources=bindparam("resources"),
            running=bindparam("running"),
            last_seen=bindparam("at"),
        ),
        readings,
    )
    if history:
        connection.execute(
            insert(utilisation),
            [
                {key: reading[key] for key in reading if key not in ("alive", "reason")}
                for reading in readings
            ],
        )


def set_command(connection: Connection, name: str, command: Command | None) -> None:
    known = worker(connection, name)
    if known is None:
        raise NotFound(kind="worker", id=name)
    if known.state is WorkerState.QUARANTINED:
        raise WorkerQuarantined(name=name)
    if known.state not in AT_WORK:
        raise WorkerGone(name=name, state=known.state.value)
    is_leaving = known.state is WorkerState.DRAINING or known.command is Command.DRAIN
    if is_leaving and command is not Command.DRAIN:
        raise WorkerGone(name=name, state=WorkerState.DRAINING.value)
    connection.execute(
        update(workers).where(workers.c.name == name).values(command=_value(command))
    )


def end_worker(connection: Connection, name: str, state: WorkerState, at: float) -> None:
    ended = connection.execute(
        update(workers)
        .where(workers.c.name == name, _IS_AT_LARGE)
        .values(state=state.value, running=0, paused=None, command=_ONCE_GONE)
    )
    shut_out(connection, name)
    if not ended.rowcount:
        return
    kind = ActivityKind.WORKER_LEFT if state is WorkerState.LEFT else ActivityKind.WORKER_LOST
    record(connection, Activity(at=at, kind=kind, subject=name))


def record(connection: Connection, activity: Activity) -> None:
    connection.execute(
        insert(activities).values(
            at=activity.at,
            kind=activity.kind.value,
            subject=activity.subject,
            detail=activity.detail,
        )
    )


def latest_activities(connection: Connection, limit: int) -> list[Activity]:
    query = select(activities).order_by(activities.c.id.desc()).limit(limit)
    return [
        Activity(at=row.at, kind=ActivityKind(row.kind), subject=row.subject, detail=row.detail)
        for row in connection.execute(query)
    ]


def prune_history(connection: Connection, before: float) -> int:
    return sum(
        connection.execute(delete(table).where(table.c.at < before)).rowcount
        for table in (utilisation, activities)
    )


def forget_workers(connection: Connection, before: float) -> int:
    gone = delete(workers).where(workers.c.last_seen < before, _HAS_GONE)
    return connection.execute(gone).rowcount


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _value(command: Command | None) -> str | None:
    return command.value if command else None


def _worker(row: Any) -> Worker:
    return Worker(
        name=row.name,
        instance=row.instance,
        join_token=row.join_token,
        tags=msgspec.json.decode(row.tags, type=tuple[str, ...]),
        slots=row.slots,
        prefetch=row.prefetch,
        state=WorkerState(row.state),
        resources=_resources(row.resources),
        running=row.running,
        joined_at=row.joined_at,
        last_seen=row.last_seen,
        command=Command(row.command) if row.command else None,
        paused=row.paused,
    )


def _resources(kept: str) -> Resources:
    try:
        return msgspec.json.decode(kept, type=Resources)
    except msgspec.DecodeError:  # One reading must not hide the worker, nor all the others.
        return _UNREADABLE
