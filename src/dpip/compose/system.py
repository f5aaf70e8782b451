"""The whole system in one process, and each of its servers alone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip import join_tokens, network
from dpip.compose.administrator import Administrator, ensure_administrator
from dpip.compose.connections import (
    api_url,
    bus,
    controller_address,
    listen_for_requests,
    message_server,
)
from dpip.compose.parts import run_api, run_controller, run_scheduler
from dpip.compose.storage import data_directory, open_datastore, open_store
from dpip.config import Settings
from dpip.wire.server_url import without_credentials
from dpip.worker.local_workers import LocalWorkers
from dpip.worker.machine import usable_cores
from dpip.worker.system_calls import check_calls


class Running(Struct, frozen=True, kw_only=True):
    """Where a system that is up can be reached, and by whom."""

    api: str
    controller: str
    data_dir: Path
    administrator: Administrator

    def lines(self) -> list[str]:
        """What a person who has started it wants to know."""
        administrator = self.administrator
        lines = [
            f"API         {self.api}",
            f"Controller  {self.controller}",
            f"Data        {self.data_dir}",
            f"User        {administrator.name}",
        ]
        if administrator.new_password:
            lines += [
                f"Password    {administrator.new_password}",
                f"            (shown this once, and kept in {administrator.password_file})",
            ]
        elif administrator.password_file:
            lines.append(f"Password    in {administrator.password_file}")
        return [*lines, "Ready. Ctrl-C stops it."]


@asynccontextmanager
async def up(settings: Settings, workers: int) -> AsyncIterator[Running]:
    """Run the whole system, with ``workers`` local workers beside it."""
    # Each worker would refuse it too, and be started again for ever.
    check_calls(settings.worker.allow_system_calls)
    data = data_directory(settings)
    async with AsyncExitStack() as parts:
        listener = listen_for_requests(settings)
        parts.callback(listener.close)
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
        parts.enter_context(data.held_by("controller"))
        local = join_tokens.local_secret(data, network.authority(settings))
        # The workers start first and are admitted last: they are loading while the rest is.
        server_url, controller = await parts.enter_async_context(message_server(settings, data))
        local_workers = await parts.enter_async_context(
            LocalWorkers(
                controller,
                workers,
                data_dir=settings.data_dir,
                log_level=settings.log_level,
                drain_seconds=settings.worker.drain_seconds,
            )
        )
        datastore = await parts.enter_async_context(open_store(settings))
        administrator = await ensure_administrator(datastore, settings, data)
        await join_tokens.admit_local(datastore, local)
        connection = await parts.enter_async_context(
            bus(settings, data, server_url=server_url, name="up")
        )
        await parts.enter_async_context(run_controller(settings, datastore, connection, data))
        await parts.enter_async_context(run_api(settings, datastore, connection, data, listener))
        await parts.enter_async_context(run_scheduler(settings, datastore, connection))
        parts.push_async_callback(local_workers.stop)
        local_workers.admit()
        yield Running(
            api=api_url(settings),
            controller=controller,
            data_dir=settings.data_dir,
            administrator=administrator,
        )


@asynccontextmanager
async def controller(settings: Settings) -> AsyncIterator[str]:
    """Run the message-passing server and the controller; yields where workers join."""
    data = data_directory(settings)
    async with AsyncExitStack() as parts:
        parts.enter_context(data.held_by("controller"))
        local = join_tokens.local_secret(data, network.authority(settings))
        server_url, address = await parts.enter_async_context(message_server(settings, data))
        datastore = await parts.enter_async_context(open_datastore(settings))
        await join_tokens.admit_local(datastore, local)
        connection = await parts.enter_async_context(
            bus(settings, data, server_url=server_url, name="controller")
        )
        await parts.enter_async_context(run_controller(settings, datastore, connection, data))
        yield address


@asynccontextmanager
async def scheduler(settings: Settings) -> AsyncIterator[None]:
    """Run the scheduler."""
    data = data_directory(settings)
    async with AsyncExitStack() as parts:
        datastore = await parts.enter_async_context(open_datastore(settings))
        connection = await parts.enter_async_context(bus(settings, data, name="scheduler"))
        await parts.enter_async_context(run_scheduler(settings, datastore, connection))
        yield


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Running]:
    """Run the API."""
    data = data_directory(settings)
    async with AsyncExitStack() as parts:
        listener = listen_for_requests(settings)
        parts.callback(listener.close)
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
        datastore = await parts.enter_async_context(open_store(settings))
        administrator = await ensure_administrator(datastore, settings, data)
        connection = await parts.enter_async_context(bus(settings, data, name="api"))
        await parts.enter_async_context(run_api(settings, datastore, connection, data, listener))
        yield Running(
            api=api_url(settings),
            controller=without_credentials(
                settings.nats_url or controller_address(settings, settings.controller_port)
            ),
            data_dir=settings.data_dir,
            administrator=administrator,
        )


def default_workers() -> int:
    """One worker for each core that this process may use, within the limits of a container."""
    return usable_cores()
