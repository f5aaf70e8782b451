"""One run in real time: the whole system over a real message-passing server, and a real fleet."""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from dpip.compose import open_datastore, up
from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import CannotStart
from dpip.model.worker import WorkerState
from dpip.ports.datastore import Datastore
from dpip.simulation.bulk_sql import BulkSql
from dpip.simulation.live_fleet import Orders
from dpip.simulation.scenario import Scenario
from dpip.supervision import die_with_parent

_LISTEN_SECONDS = 10.0
_PATIENCE_SECONDS = 300.0
_LOOK_AGAIN_SECONDS = 0.05


class LiveReport(Struct, frozen=True, kw_only=True):
    """Seconds by the clock. ``parts`` are API, controller and scheduler in one process.

    Shares are of one core, while the fleet does nothing but beat once a second.
    """

    seed: int
    workers: int
    jobs: int
    done: int
    seconds: float
    jobs_per_second: float
    parts_cpu_microseconds_per_job: float
    server_cpu_microseconds_per_job: float
    heartbeats_parts_share: float
    heartbeats_server_share: float


class _Cpu:
    """CPU seconds of this process, and of the message-passing server below it."""

    def __init__(self) -> None:
        self.parts, self.server = time.process_time(), _server_cpu()
        self._at = time.monotonic()

    def since(self) -> tuple[float, float, float]:
        """Seconds by the clock, and those of the CPUs."""
        seconds = time.monotonic() - self._at
        return seconds, time.process_time() - self.parts, _server_cpu() - self.server


async def run_live(scenario: Scenario, *, listen: float = _LISTEN_SECONDS) -> LiveReport:
    """Have the workers of ``scenario`` do its jobs, which take no time.

    First, for ``listen`` seconds, they only beat. Raises ``CannotStart``.
    """
    workers, jobs = len(scenario.workers), len(scenario.jobs)
    with tempfile.TemporaryDirectory(prefix="dpip-simulate-") as directory:
        settings = Settings(
            data_dir=Path(directory), port=0, controller_port=0, log_level="warning"
        )
        async with (
            up(settings, workers=0) as running,
            open_datastore(settings) as datastore,
            _fleet(scenario, running.controller, settings.data_dir),
        ):
            await _until(partial(_alive, datastore), workers, "workers have joined")
            idle = _Cpu()
            await asyncio.sleep(listen)
            listened, parts_listening, server_listening = idle.since()
            busy = _Cpu()
            await asyncio.to_thread(_add_jobs, DataDirectory(settings.data_dir), scenario)
            await _until(partial(_done, datastore), jobs, "jobs are done")
            seconds, parts, server = busy.since()
            done = await _done(datastore)
    return LiveReport(
        seed=scenario.seed,
        workers=workers,
        jobs=jobs,
        done=done,
        seconds=seconds,
        jobs_per_second=jobs / seconds,
        parts_cpu_microseconds_per_job=1e6 * parts / jobs,
        server_cpu_microseconds_per_job=1e6 * server / jobs,
        heartbeats_parts_share=parts_listening / listened,
        heartbeats_server_share=server_listening / listened,
    )


@asynccontextmanager
async def _fleet(scenario: Scenario, controller: str, data_dir: Path) -> AsyncIterator[None]:
    """Run the workers in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dpip.simulation.live_fleet",
        stdin=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    assert process.stdin  # noqa: S101  # nosec B101 # for the type checker
    orders = Orders(controller=controller, data_dir=str(data_dir), workers=scenario.workers)
    process.stdin.write(msgspec.json.encode(orders) + b"\n")
    await process.stdin.drain()
    try:
        yield
    finally:
        process.stdin.close()
        await process.wait()


def _add_jobs(data: DataDirectory, scenario: Scenario) -> None:
    bulk = BulkSql.open(data.database_url, scenario)
    try:
        bulk.add_users()
        bulk.add_jobs(range(len(scenario.jobs)))
    finally:
        bulk.close()


async def _alive(datastore: Datastore) -> int:
    return sum(worker.state is WorkerState.ALIVE for worker in await datastore.workers())


async def _done(datastore: Datastore) -> int:
    workloads = await datastore.workloads(owner_id=None, limit=1000)
    return sum(workload.counts.done for workload in workloads)


async def _until(count: Callable[[], Awaitable[int]], enough: int, what: str) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while (counted := await count()) < enough:
        if time.monotonic() > give_up_at:
            raise CannotStart(
                part="The simulation", reason=f"only {counted} of {enough} {what} in time"
            )
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _server_cpu() -> float:
    children = psutil.Process().children(recursive=True)
    times = [each.cpu_times() for each in children if each.name().startswith("nats-server")]
    return sum(time.user + time.system for time in times)
