"""Wires the parts together: the one place where adapters meet ports.

Each part is a context manager that starts it on entry and stops it on exit. ``dpip up`` enters
them all in one process, every other command enters its own.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Struct

from dpip import join_tokens, network
from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import CannotStart, UserExists
from dpip.model.ids import new_id
from dpip.model.join_token import JoinSecret
from dpip.model.user import Role, User
from dpip.model.worker import check_tags, check_worker_name
from dpip.ports.bus import Bus
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import Datastore
from dpip.tls.contexts import client_context, server_context
from dpip.wire.nats_bus import NatsBus, without_credentials
from dpip.worker.local_workers import LocalWorkers

if TYPE_CHECKING:
    from dpip.controller.nats_credentials import Issuer
    from dpip.worker.agent import Agent

log = structlog.get_logger()

_SECONDS_A_DAY = 86_400
_SWEEP_SECONDS = 3600
_NATS_PORT = 4222
_PATIENCE_SECONDS = 10.0


class Running(Struct, frozen=True, kw_only=True):
    """Where a system that is up can be reached.

    ``new_password`` is the administrator's if it was generated at this very start.
    """

    api: str
    controller: str
    data_dir: Path
    user: str
    new_password: str | None

    def as_text(self) -> str:
        """What a person who has started it wants to know."""
        lines = [
            f"API         {self.api}",
            f"Controller  {self.controller}",
            f"Data        {self.data_dir}",
        ]
        if self.new_password:
            password_file = DataDirectory(self.data_dir).admin_password_file
            lines += [
                f"User        {self.user}",
                f"Password    {self.new_password}",
                f"            (shown this once, and kept in {password_file})",
            ]
        return "\n".join([*lines, "Ready. Ctrl-C stops it."])


@asynccontextmanager
async def up(settings: Settings, workers: int) -> AsyncIterator[Running]:
    """Run the whole system, with ``workers`` local workers beside it."""
    data = _data_directory(settings)
    async with AsyncExitStack() as parts:
        listener = _listen(settings)
        parts.callback(listener.close)
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
        parts.enter_context(data.held_by("controller"))
        local = join_tokens.local_secret(data, network.authority(settings))
        # The workers start first and join last: they are loading while the rest is.
        server_url, controller = await parts.enter_async_context(_message_server(settings, data))
        local_workers = await parts.enter_async_context(
            LocalWorkers(
                controller,
                workers,
                data_dir=settings.data_dir,
                log_level=settings.log_level,
                drain_seconds=settings.worker.drain_seconds,
            )
        )
        datastore = await parts.enter_async_context(open_datastore(settings))
        new_password = await ensure_administrator(datastore, settings, data)
        await join_tokens.admit_local(datastore, local)
        bus = await parts.enter_async_context(
            _bus(settings, data, server_url=server_url, name="up")
        )
        await parts.enter_async_context(_controller(settings, datastore, bus, data))
        await parts.enter_async_context(_api(settings, datastore, bus, data, listener))
        await parts.enter_async_context(_scheduler(settings, datastore, bus))
        parts.push_async_callback(local_workers.stop)
        yield Running(
            api=_api_url(settings),
            controller=controller,
            data_dir=settings.data_dir,
            user=settings.admin_user,
            new_password=new_password,
        )


@asynccontextmanager
async def controller(settings: Settings) -> AsyncIterator[str]:
    """Run the message-passing server and the controller; yields where workers join."""
    data = _data_directory(settings)
    async with AsyncExitStack() as parts:
        parts.enter_context(data.held_by("controller"))
        local = join_tokens.local_secret(data, network.authority(settings))
        server_url, address = await parts.enter_async_context(_message_server(settings, data))
        datastore = await parts.enter_async_context(open_datastore(settings))
        await join_tokens.admit_local(datastore, local)
        bus = await parts.enter_async_context(
            _bus(settings, data, server_url=server_url, name="controller")
        )
        await parts.enter_async_context(_controller(settings, datastore, bus, data))
        yield address


@asynccontextmanager
async def scheduler(settings: Settings) -> AsyncIterator[None]:
    """Run the scheduler."""
    data = _data_directory(settings)
    async with AsyncExitStack() as parts:
        parts.enter_context(data.held_by("scheduler"))
        datastore = await parts.enter_async_context(open_datastore(settings))
        bus = await parts.enter_async_context(_bus(settings, data, name="scheduler"))
        await parts.enter_async_context(_scheduler(settings, datastore, bus))
        yield


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Running]:
    """Run the API."""
    data = _data_directory(settings)
    async with AsyncExitStack() as parts:
        listener = _listen(settings)
        parts.callback(listener.close)
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
        datastore = await parts.enter_async_context(open_datastore(settings))
        new_password = await ensure_administrator(datastore, settings, data)
        bus = await parts.enter_async_context(_bus(settings, data, name="api"))
        await parts.enter_async_context(_api(settings, datastore, bus, data, listener))
        yield Running(
            api=_api_url(settings),
            controller=without_credentials(
                settings.nats_url or _controller_address(settings, settings.controller_port)
            ),
            data_dir=settings.data_dir,
            user=settings.admin_user,
            new_password=new_password,
        )


@asynccontextmanager
async def worker(settings: Settings, name: str, tags: tuple[str, ...]) -> AsyncIterator["Agent"]:
    """Run a worker; yields its agent, which may fail."""
    # Imported here because no other part needs libvips' children and an HTTP client.
    from dpip.worker.agent import Agent, AgentSettings
    from dpip.worker.identity import Identity
    from dpip.worker.scratch import scratch_directory
    from dpip.worker.workshop import Workshop

    identity = Identity(check_worker_name(name), lambda: _join_secret(settings, name))
    tags = check_tags(tags)
    # Credentials of a URL are those of DPIP's own parts, which a worker has no need of.
    server = without_credentials(settings.nats_url or f"nats://{settings.controller}")
    tls = await _trusted_by_a_worker(settings, server, _join_secret(settings, name))
    bus = NatsBus(
        server,
        user=identity.user,
        password=identity.password,
        inbox=identity.inbox,
        name=f"worker {name}",
        tls=tls,
    )
    own = settings.worker
    async with AsyncExitStack() as parts:
        workshop = Workshop(own.slots, parts.enter_context(scratch_directory(own.scratch_dir)))
        parts.push_async_callback(workshop.close)
        await asyncio.gather(workshop.open(), bus.open())
        parts.push_async_callback(bus.close)
        agent = Agent(
            bus,
            workshop,
            identity,
            AgentSettings(
                tags=tags,
                slots=own.slots,
                prefetch=own.prefetch,
                drain_seconds=own.drain_seconds,
                controller_host=settings.controller.rpartition(":")[0].strip("[]"),
                tls=tls,
            ),
        )
        parts.push_async_callback(agent.stop)
        await agent.start()
        yield agent
        await agent.drain()


def _join_secret(settings: Settings, worker: str) -> JoinSecret:
    text = settings.join_token or DataDirectory(settings.data_dir).known_join_token()
    if text is None:
        raise CannotStart(
            part=f"Worker {worker}",
            reason="it has no join token: set DPIP_JOIN_TOKEN to what 'dpip join-token create' "
            f"shows on the controller's machine ({settings.data_dir} has none)",
        )
    return JoinSecret.read(text)


async def _trusted_by_a_worker(
    settings: Settings, server: str, join_secret: JoinSecret
) -> ssl.SSLContext | None:
    from dpip.tls.pinning import pinned_context

    if join_secret.authority is None:
        return client_context(settings.tls_ca) if settings.tls_ca else None
    named = [urlsplit(each) for each in server.split(",")]
    servers = [(each.hostname or "", each.port or _NATS_PORT) for each in named]
    return await pinned_context(servers, join_secret.authority, patience=_PATIENCE_SECONDS)


def message_server_rules(settings: Settings) -> dict[str, object]:
    """What a message-passing server, embedded or external, has to know."""
    from dpip.controller.nats_configuration import access_rules

    data = _data_directory(settings)
    return access_rules(
        server_password=data.message_server_password(),
        issuer=_issuer(data),
        tls=network.tls_files(settings),
    )


def has_datastore(settings: Settings) -> bool:
    """Whether there can be a system: a database is named, or lies in the data directory."""
    return bool(settings.database_url) or DataDirectory(settings.data_dir).database.exists()


@asynccontextmanager
async def open_datastore(settings: Settings) -> AsyncIterator[Datastore]:
    """Open the datastore that the settings name."""
    from dpip.controller.datastore import SqlDatastore

    data = _data_directory(settings)
    datastore = await SqlDatastore.open(settings.database_url or data.database_url)
    try:
        yield datastore
    finally:
        await datastore.close()


async def ensure_administrator(
    datastore: Datastore, settings: Settings, data: DataDirectory
) -> str | None:
    """Create the administrator where there is no user yet; returns a password made for it."""
    from dpip.api.passwords import hash_password

    if await datastore.users():
        return None
    password = settings.admin_password or data.admin_password()
    administrator = User(
        id=new_id(),
        name=settings.admin_user,
        role=Role.ADMINISTRATOR,
        password_hash=await asyncio.to_thread(hash_password, password),
        created_at=SystemClock().now(),
    )
    try:
        await datastore.add_user(administrator)
    except UserExists:  # Another API, started in the same moment, was first.
        return None
    return None if settings.admin_password else password


@asynccontextmanager
async def _message_server(
    settings: Settings, data: DataDirectory
) -> AsyncIterator[tuple[str | None, str]]:
    """Run the embedded server, unless an external one is named; yields its URL and address."""
    from dpip.controller.message_server import MessageServer

    if settings.nats_url:
        yield None, without_credentials(settings.nats_url)
        return
    network.check_exposure(settings, "The message-passing server")
    server = MessageServer(
        data.message_server,
        host=settings.host,
        port=settings.controller_port,
        access_rules=message_server_rules(settings),
        encrypted=settings.tls_cert is not None,
    )
    await server.start()
    try:
        yield server.url, _controller_address(settings, server.port)
    finally:
        await server.stop()


@asynccontextmanager
async def _bus(
    settings: Settings, data: DataDirectory, *, name: str, server_url: str | None = None
) -> AsyncIterator[Bus]:
    from dpip.controller.nats_configuration import SERVER_USER

    address = _controller_address(settings, settings.controller_port)
    bus = NatsBus(
        settings.nats_url or server_url or f"nats://{address}",
        user=SERVER_USER,
        password=data.message_server_password(),
        name=name,
        tls=client_context(settings.tls_ca) if settings.tls_ca else None,
    )
    async with bus:
        yield bus


@asynccontextmanager
async def _controller(
    settings: Settings, datastore: Datastore, bus: Bus, data: DataDirectory
) -> AsyncIterator[None]:
    from dpip.controller.controller import Controller, ControllerTimes

    part = Controller(
        datastore,
        bus,
        SystemClock(),
        issuer=_issuer(data),
        image_store_endpoint=_api_url(settings),
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
async def _scheduler(settings: Settings, datastore: Datastore, bus: Bus) -> AsyncIterator[None]:
    from dpip.scheduler.caller import WorkerCaller
    from dpip.scheduler.scheduler import Scheduler

    part = Scheduler(
        datastore,
        datastore,
        bus,
        SystemClock(),
        WorkerCaller(
            bus,
            memory_limit=settings.limits.job_memory_bytes,
            time_limit=settings.limits.job_seconds,
        ),
        silence_seconds=settings.lease.timeout_seconds,
    )
    await part.start()
    try:
        yield
    finally:
        await part.stop()


@asynccontextmanager
async def _api(
    settings: Settings,
    datastore: Datastore,
    bus: Bus,
    data: DataDirectory,
    listener: socket.socket,
) -> AsyncIterator[None]:
    from dpip.api.app import create_app
    from dpip.api.server import serve
    from dpip.api.settings import ApiSettings, HttpLimits, QuotaLimits
    from dpip.chores import again_and_again
    from dpip.controller.image_directories import ImageDirectories

    images = ImageDirectories(data.images)
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

    async def sweep() -> None:
        await images.sweep(datastore)

    tls = network.tls_files(settings)
    sweeping = asyncio.create_task(again_and_again(sweep, _SWEEP_SECONDS), name="sweep")
    try:
        limits = HttpLimits(**msgspec.structs.asdict(settings.http))
        async with serve(app, listener, limits, server_context(tls) if tls else None):
            yield
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


def _data_directory(settings: Settings) -> DataDirectory:
    data = DataDirectory(settings.data_dir)
    data.create()
    return data


def _issuer(data: DataDirectory) -> "Issuer":
    from dpip.controller.nats_credentials import Issuer, new_seed

    return Issuer(data.signing_key(new_seed))


def _listen(settings: Settings) -> socket.socket:
    from dpip.api.server import listen

    network.check_exposure(settings, "The API")
    return listen(settings.host, settings.port)


def _api_url(settings: Settings) -> str:
    scheme = "https" if settings.tls_cert else "http"
    return settings.api_url or f"{scheme}://{_address(settings.host, settings.port)}"


def _controller_address(settings: Settings, port: int) -> str:
    # Compared with, not bound to.
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104
    return _address(loopback.get(settings.host, settings.host), port)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def default_workers() -> int:
    """One worker for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
