"""Controller, scheduler and API, each with its adapters, for as long as its block lasts."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from dpip import network
from dpip.compose.connections import api_url, issuer
from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.model.ids import new_id
from dpip.ports.bus import Bus
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import Datastore
from dpip.tls.contexts import server_context

_SECONDS_A_DAY = 86_400
_SWEEP_SECONDS = 3600
_REMOVE_SECONDS = 30


@asynccontextmanager
async def run_controller(
    settings: Settings, datastore: Datastore, bus: Bus, data: DataDirectory
) -> AsyncIterator[None]:
    """Run the controller."""
    from dpip.controller.controller import Controller, ControllerTimes

    part = Controller(
        datastore,
        bus,
        SystemClock(),
        issuer=issuer(data),
        image_store_endpoint=api_url(settings),
        times=ControllerTimes(
            heartbeat_seconds=settings.lease.heartbeat_seconds,
            timeout_seconds=settings.lease.timeout_seconds,
            longest_lease_seconds=settings.lease.longest_seconds,
            history_seconds=settings.retention.history_days * _SECONDS_A_DAY,
        ),
    )
    await part.start()
    try:
        yield
    finally:
        await part.stop()


@asynccontextmanager
async def run_scheduler(settings: Settings, datastore: Datastore, bus: Bus) -> AsyncIterator[None]:
    """Run the scheduler."""
    from dpip.scheduler.caller import WorkerCaller
    from dpip.scheduler.leadership import Leadership
    from dpip.scheduler.scheduler import Scheduler, SchedulerSettings

    clock = SystemClock()
    leadership = Leadership(datastore, clock, holder=new_id())
    part = Scheduler(
        datastore,
        bus,
        clock,
        WorkerCaller(
            bus,
            memory_limit=settings.limits.job_memory_bytes,
            time_limit=settings.limits.job_seconds,
        ),
        leadership,
        SchedulerSettings(
            memory_limit=settings.limits.job_memory_bytes,
            silence_seconds=settings.lease.timeout_seconds,
            **msgspec.structs.asdict(settings.scheduler),
        ),
    )
    await leadership.start()
    await part.start()
    try:
        yield
    finally:
        await part.stop()
        await leadership.stop()


@asynccontextmanager
async def run_api(
    settings: Settings,
    datastore: Datastore,
    bus: Bus,
    data: DataDirectory,
    listener: socket.socket,
) -> AsyncIterator[None]:
    """Serve the API, and sweep the image directories that are its."""
    from dpip.api.app import create_app
    from dpip.api.server import serve
    from dpip.api.settings import ApiSettings, HttpLimits
    from dpip.chores import again_and_again, end
    from dpip.controller.descriptions import describe_workloads
    from dpip.controller.image_directories import ImageDirectories
    from dpip.controller.removals import finish_removals
    from dpip.model.quota import QuotaLimits

    images = ImageDirectories(data.images, orphan_days=settings.retention.orphan_days)
    app = create_app(
        datastore=datastore,
        images=images,
        bus=bus,
        clock=SystemClock(),
        settings=ApiSettings(
            system_name=settings.system_name,
            login_hours=settings.login_hours,
            upload_bytes=settings.limits.upload_bytes,
            pixels=settings.limits.pixels,
            channels=settings.limits.channels,
            animation_bytes=settings.limits.animation_bytes,
            pending_jobs=settings.limits.pending_jobs,
            incoming_bytes=settings.limits.incoming_bytes,
            quotas=QuotaLimits(**msgspec.structs.asdict(settings.quotas)),
        ),
    )

    async def remove() -> None:
        await finish_removals(datastore, images, time.time())

    async def sweep() -> None:
        await remove()  # What is left of a removed workload is no orphan.
        await images.sweep(datastore)
        await describe_workloads(datastore, images)

    tls = network.tls_files(settings)
    chores = (
        asyncio.create_task(again_and_again(sweep, _SWEEP_SECONDS), name="sweep"),
        asyncio.create_task(again_and_again(remove, _REMOVE_SECONDS), name="removals"),
    )
    try:
        limits = HttpLimits(**msgspec.structs.asdict(settings.http))
        async with serve(app, listener, limits, server_context(tls) if tls else None):
            yield
    finally:
        await end(*chores)
