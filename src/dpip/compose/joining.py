"""A worker, on this machine or another."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.errors import CannotStart
from dpip.model.join_token import JoinSecret
from dpip.model.worker import check_tags, check_worker_name
from dpip.tls.contexts import client_context
from dpip.wire.server_url import without_credentials
from dpip.worker.local_workers import until_admitted

if TYPE_CHECKING:
    from dpip.wire.nats_bus import NatsBus
    from dpip.worker.agent import Agent

_NATS_PORT = 4222
_PATIENCE_SECONDS = 10.0


@asynccontextmanager
async def worker(
    settings: Settings, name: str, tags: tuple[str, ...], *, local: bool = False
) -> AsyncIterator["Agent"]:
    """Run a worker; yields its agent, which may fail or be over. A ``local`` one is admitted."""
    # Imported here because no other part needs libvips' children and an HTTP client.
    from dpip.wire.nats_bus import NatsBus
    from dpip.worker.agent import Agent, AgentSettings
    from dpip.worker.identity import Identity
    from dpip.worker.politeness import PoliteSettings
    from dpip.worker.scratch import scratch_directory
    from dpip.worker.system_calls import check_calls
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
        scratch = parts.enter_context(scratch_directory(own.scratch_dir))
        workshop = Workshop(own.slots, own.prefetch, scratch, check_calls(own.allow_system_calls))
        parts.push_async_callback(workshop.close)
        await asyncio.gather(workshop.open(), _connect(bus, local=local))
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
                politeness=PoliteSettings(
                    load_above=own.pause_when_load_above,
                    hours=own.hours,
                    yield_gpu=own.yield_gpu,
                ),
                local=local,
                images=_images(settings),
            ),
        )
        parts.push_async_callback(agent.stop)
        await agent.start()
        yield agent
        await agent.drain()


def _images(settings: Settings) -> Path | None:
    """Where the image store is, if it is on this machine or mounted here."""
    return None if settings.direct_store == "off" else DataDirectory(settings.data_dir).images


async def _connect(bus: "NatsBus", *, local: bool) -> None:
    if local:
        await until_admitted()
    await bus.open()


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
