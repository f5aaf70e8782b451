"""What the simulation writes itself, in bulk: jobs as they come, and results as they end.

The rows are those that the datastore would have written, but for the rows of filtered images, which
there are none of. It writes over a connection of its own and does not wait for the disk.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Self

from msgspec import Struct
from sqlalchemy import Connection, event, text

from dpip.controller.datastore.engines import open_engines
from dpip.model.job import Lease
from dpip.simulation.scenario import Scenario
from dpip.simulation.virtual_datastore import do_not_wait_for_the_disk

_AT_ONCE = 10_000
_STATED_AT = 1_700_000_000.0

_INSERT_USER = """
INSERT INTO users (id, name, role, password_hash, weight, created_at) VALUES (?, ?, ?, '', ?, ?)"""
_INSERT_WORKLOAD = """
INSERT INTO workloads (id, name, owner_id, pipeline, created_at, started,
                       pending, leased, done, failed, settled)
VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0)"""
_INSERT_IMAGE = """
INSERT INTO images (id, workload_id, kind, format, width, height, frames, bands, depth, size,
                    sha256, created_at)
VALUES (?, ?, 'original', ?, ?, ?, 1, 3, 8, ?, '', ?)"""
_INSERT_JOB = """
INSERT INTO jobs (id, workload_id, image_id, state, attempt, failures, retry_at)
VALUES (?, ?, ?, 'pending', 0, 0, 0)"""
_COUNT_PENDING = "UPDATE workloads SET pending = pending + ? WHERE id = ?"
_HELD = """
SELECT id, workload_id, attempt, worker, rival_attempt, rival_worker FROM jobs
WHERE state = 'leased' AND id IN ({})"""
_SETTLED = "SELECT settled FROM workloads WHERE id = ?"
_COUNT_DONE = """
UPDATE workloads SET leased = leased - ?, done = done + ?, settled = settled + ? WHERE id = ?"""
_COMPLETE = """
UPDATE jobs SET state = 'done', position = ?, milliseconds = ?, worker = ?, attempt = ?,
                rival_worker = NULL, rival_attempt = NULL
WHERE id = ?"""
_BYTES_A_PIXEL = 0.4


class Result(Struct, frozen=True):
    """An attempt that has ended well, and the milliseconds that it took."""

    lease: Lease
    milliseconds: float


class BulkSql:
    """A connection to the SQLite database of a simulation."""

    def __init__(self, connection: Connection, scenario: Scenario) -> None:
        self._connection = connection
        self._scenario = scenario

    @classmethod
    def open(cls, url: str, scenario: Scenario) -> Self:
        """Connect to a database whose tables are there."""
        engine, _ = open_engines(url, readers=1)
        event.listen(engine, "connect", do_not_wait_for_the_disk)
        return cls(engine.connect(), scenario)

    def close(self) -> None:
        """Disconnect."""
        engine = self._connection.engine
        self._connection.close()
        engine.dispose()

    def add_users(self) -> None:
        """Add users and their workloads, empty."""
        with self._connection.begin():
            for user in self._scenario.users:
                self._run(_INSERT_USER, [(user.id, user.id, "user", user.weight, _STATED_AT)])
            for each in self._scenario.workloads:
                owner = self._scenario.users[each.owner].id
                row = (each.id, each.kind.name, owner, each.pipeline, _STATED_AT)
                self._run(_INSERT_WORKLOAD, [row])

    def add_jobs(self, jobs: Sequence[int]) -> None:
        """Add originals and pending jobs."""
        for first in range(0, len(jobs), _AT_ONCE):
            some = jobs[first : first + _AT_ONCE]
            with self._connection.begin():
                self._run(_INSERT_IMAGE, [self._image(job) for job in some])
                self._run(_INSERT_JOB, [self._job(job) for job in some])
                counts = Counter(self._workload_id(job) for job in some)
                self._run(_COUNT_PENDING, [(count, each) for each, count in counts.items()])

    def complete(self, results: Sequence[Result]) -> list[bool]:
        """Finish the jobs whose leases are still held; which of them were."""
        with self._connection.begin():
            ids = tuple({result.lease.job_id for result in results})
            rows = self._connection.exec_driver_sql(_HELD.format(", ".join("?" * len(ids))), ids)
            held = {}
            for job_id, workload, attempt, worker, rival_attempt, rival_worker in rows:
                held[job_id, attempt, worker] = held[job_id, rival_attempt, rival_worker] = workload
            accepted: dict[str, Result] = {}
            for result in results:
                lease = result.lease
                if (lease.job_id, lease.attempt, lease.worker) in held:
                    accepted.setdefault(lease.job_id, result)
            self._finish(
                [
                    (held[each.lease.job_id, each.lease.attempt, each.lease.worker], each)
                    for each in accepted.values()
                ]
            )
        return [accepted.get(result.lease.job_id) is result for result in results]

    def _finish(self, accepted: Sequence[tuple[str, Result]]) -> None:
        positions = {}
        for workload, count in Counter(workload for workload, _ in accepted).items():
            settled = self._connection.exec_driver_sql(_SETTLED, (workload,)).scalar_one()
            positions[workload] = iter(range(settled + 1, settled + count + 1))
            self._run(_COUNT_DONE, [(count, count, count, workload)])
        self._run(
            _COMPLETE,
            [
                (
                    next(positions[workload]),
                    result.milliseconds,
                    result.lease.worker,
                    result.lease.attempt,
                    result.lease.job_id,
                )
                for workload, result in accepted
            ],
        )

    def count(self, state: str) -> int:
        """How many jobs are in ``state``, by their rows."""
        query = text("SELECT count(*) FROM jobs WHERE state = :state")
        with self._connection.begin():
            return int(self._connection.scalar(query, {"state": state}) or 0)

    def _image(self, job: int) -> tuple[object, ...]:
        header = self._scenario.header(job)
        size = int(header.pixels * _BYTES_A_PIXEL)
        created_at = _STATED_AT + self._scenario.jobs.arrival[job]
        return (
            job_id(job),
            self._workload_id(job),
            header.format.value,
            header.width,
            header.height,
            size,
            created_at,
        )

    def _job(self, job: int) -> tuple[object, ...]:
        return job_id(job), self._workload_id(job), job_id(job)

    def _workload_id(self, job: int) -> str:
        return self._scenario.workloads[self._scenario.jobs.workload[job]].id

    def _run(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._connection.exec_driver_sql(statement, list(rows))


def job_id(job: int) -> str:
    """The id of the job of that number, and of its original."""
    return f"{job:026d}"
