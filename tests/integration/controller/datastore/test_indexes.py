"""What is asked often is found through an index, however much has settled before."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from dpip.controller.datastore import SqlDatastore
from dpip.controller.datastore.engines import open_engines
from dpip.controller.datastore.prepared import Blanks, Prepared
from dpip.controller.datastore.schema import bring_up_to_date
from dpip.model.job import Lease
from tests.contract.builders import (
    BROKEN,
    NO_TERM,
    NOW,
    add_job,
    build_filtered,
    build_placement,
    complete,
    lease,
)

Ask = Callable[[SqlDatastore], Awaitable[object]]


class Planner:
    """A datastore whose statements are explained by the database as they are run."""

    def __init__(self, writer: Engine, reader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.datastore = SqlDatastore(writer, reader)
        self._plans: list[str] = []
        self._listening = False
        for engine in (writer, reader):
            event.listen(engine, "before_cursor_execute", self._explain)
        execute = Prepared._execute

        def explain_and_execute(prepared: Prepared, connection: Connection, blanks: Blanks) -> Any:
            sql, constants = prepared._sql_for(connection.dialect)
            self._explain(None, connection.connection.cursor(), sql, constants | blanks)
            return execute(prepared, connection, blanks)

        monkeypatch.setattr(Prepared, "_execute", explain_and_execute)

    def _explain(
        self, _connection: Any, cursor: Any, statement: str, parameters: Any, *_others: Any
    ) -> None:
        if self._listening and statement.split()[0] in {"SELECT", "UPDATE", "DELETE"}:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            self._plans += [row[3] for row in cursor.fetchall()]

    async def plans(self, ask: Ask) -> list[str]:
        """The steps of all statements that ``ask`` runs."""
        self._plans, self._listening = [], True
        await ask(self.datastore)
        self._listening = False
        return self._plans


@pytest.fixture
async def planner(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Planner]:
    writer, reader = open_engines(f"sqlite:///{sqlite_path}", readers=4)
    bring_up_to_date(writer)
    planner = Planner(writer, reader, monkeypatch)
    await complete(planner.datastore, await add_job(planner.datastore))
    yield planner
    await planner.datastore.close()


LEASE = Lease(job_id="job", attempt=1, worker="ada")

USES: dict[str, tuple[Ask, str]] = {
    "pending jobs": (
        lambda store: store.pending_jobs("w", now=NOW, limit=10),
        "jobs_pending_of_workload (workload_id=?)",
    ),
    "jobs before": (
        lambda store: store.jobs_before("j"),
        "COVERING INDEX jobs_pending_of_workload (workload_id=? AND id<?)",
    ),
    "waiting workloads": (lambda store: store.waiting_workloads(), "workloads_active"),
    "placed jobs": (lambda store: store.placed_jobs(["j", "k"]), "(id=?)"),
    "the job of an original": (lambda store: store.job_of_image("i"), "(image_id=?)"),
    "the job of a result": (
        lambda store: store.job_of_image("i"),
        "jobs_by_result (filtered_image_id=?)",
    ),
    "leases": (lambda store: store.leases(), "jobs_leased"),
    "settled jobs": (
        lambda store: store.settled_jobs("w", after=3, limit=10),
        "jobs_as_settled (workload_id=? AND position>?)",
    ),
    "filtered images": (
        lambda store: store.filtered_image_ids("w"),
        "jobs_in_upload_order (workload_id=?)",
    ),
    "failed jobs": (lambda store: store.failed_jobs("w"), "jobs_in_upload_order (workload_id=?)"),
    "workloads of an owner": (
        lambda store: store.workloads(owner_id="o", limit=10, before="x"),
        "workloads_of_owner (owner_id=? AND id<?)",
    ),
    "first workloads of an owner": (
        lambda store: store.workloads(owner_id="o", limit=10),
        "workloads_of_owner (owner_id=?)",
    ),
    "usage": (lambda store: store.usage("o"), "workloads_of_owner (owner_id=?)"),
    "recent uploads": (
        lambda store: store.recent_uploads("o", 1000.0),
        "(key=? AND second>? AND second<?)",
    ),
    "workloads of everybody": (
        lambda store: store.workloads(owner_id=None, limit=10, before="x"),
        "(id<?)",
    ),
    "active workloads": (
        lambda store: store.active_workloads(owner_id=None, limit=10),
        "workloads_active",
    ),
    "a leased image": (lambda store: store.leased_image("i", "ada"), "(image_id=?)"),
    "a leased job": (
        lambda store: store.leased_job(Lease(job_id="j", attempt=1, worker="ada")),
        "(id=?)",
    ),
    "quarantined workers": (lambda store: store.quarantined_workers(), "workers_quarantined"),
    "leasing": (
        lambda store: store.lease([build_placement("j"), build_placement("k")], term=NO_TERM),
        "(id=?)",
    ),
    "leasing again": (
        lambda store: store.lease_again(build_placement("j"), term=NO_TERM),
        "(id=?)",
    ),
    "failing what is pending": (
        lambda store: store.fail_pending(["j", "k"], BROKEN, term=NO_TERM, now=NOW),
        "(id=?)",
    ),
    "giving back": (lambda store: store.give_back(LEASE), "(id=?)"),
    "a new password": (lambda store: store.set_password("alice", "hash"), "(name=?)"),
    "a worker's new token": (
        lambda store: store.add_worker_token("t", worker="ada", created_at=NOW),
        "ix_tokens_worker (worker=?)",
    ),
    "history": (lambda store: store.prune_history(NOW), "ix_utilisation_at (at<?)"),
}

WHOLE_BUT_SMALL = (
    "USING INDEX jobs_leased",
    "USING INDEX workloads_active",
    "USING INDEX workers_quarantined",
)


def whole(plans: list[str]) -> list[str]:
    """The steps that read something large from end to end."""
    scans = [step for step in plans if step.startswith("SCAN")]
    return [step for step in scans if not any(small in step for small in WHOLE_BUT_SMALL)]


@pytest.mark.parametrize("use", USES)
async def test_what_is_asked_often_uses_an_index(planner: Planner, use: str) -> None:
    """The index is named by the plan, and nothing but a partial index is read from end to end."""
    ask, index = USES[use]
    plans = await planner.plans(ask)
    assert [step for step in plans if index in step], plans
    assert whole(plans) == []


@pytest.mark.parametrize(
    "use", ["pending jobs", "waiting workloads", "settled jobs", "workloads of an owner"]
)
async def test_what_comes_in_order_is_not_sorted(planner: Planner, use: str) -> None:
    """The index has the order already, so that a page costs what the page holds."""
    plans = await planner.plans(USES[use][0])
    assert [step for step in plans if "TEMP B-TREE" in step] == []


async def test_moving_a_job_reads_no_table_from_end_to_end(planner: Planner) -> None:
    """Upload, lease and result are found by their keys."""

    async def live(datastore: SqlDatastore) -> None:
        job = await add_job(datastore)
        held = await lease(datastore, job)
        await datastore.complete(held, build_filtered(job.original), milliseconds=1.0, now=NOW)

    plans = await planner.plans(live)
    assert plans
    assert whole(plans) == []


async def test_a_table_that_is_read_whole_is_seen(planner: Planner) -> None:
    """What the other tests look for is there when there is no index to use."""
    plans = await planner.plans(lambda datastore: datastore.workers())
    assert [step for step in plans if step.startswith("SCAN workers")]
