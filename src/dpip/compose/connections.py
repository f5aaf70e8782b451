"""Where the parts of a system listen, and how they reach each other."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dpip import network
from dpip.compose.storage import data_directory
from dpip.config import Settings
from dpip.data_directory import DataDirectory
from dpip.ports.bus import Bus
from dpip.tls.contexts import client_context
from dpip.wire.server_url import without_credentials

if TYPE_CHECKING:
    from dpip.controller.nats_credentials import Issuer


def message_server_rules(settings: Settings) -> dict[str, object]:
    """What a message-passing server, embedded or external, has to know."""
    from dpip.controller.nats_configuration import access_rules

    data = data_directory(settings)
    return access_rules(
        server_password=data.message_server_password(),
        issuer=issuer(data),
        tls=network.tls_files(settings),
    )


@asynccontextmanager
async def message_server(
    settings: Settings, data: DataDirectory
) -> AsyncIterator[tuple[str | None, str]]:
    """Run the embedded server, unless an external one is named; yields its URL and address."""
    from dpip.controller.message_server import MessageServer

    if settings.nats_url:
        yield None, without_credentials(settings.nats_url)
        return
    network.check_exposure(settings, "The message-passing server")
    server = MessageServer(
        data.usable(data.message_server),
        host=settings.host,
        port=settings.controller_port,
        access_rules=message_server_rules(settings),
        encrypted=settings.tls_cert is not None,
    )
    await server.start()
    try:
        yield server.url, controller_address(settings, server.port)
    finally:
        await server.stop()


@asynccontextmanager
async def bus(
    settings: Settings, data: DataDirectory, *, name: str, server_url: str | None = None
) -> AsyncIterator[Bus]:
    """Connect one of DPIP's own parts, to ``server_url`` or to where the settings have it."""
    from dpip.controller.nats_configuration import SERVER_USER
    from dpip.wire.nats_bus import NatsBus

    address = controller_address(settings, settings.controller_port)
    connection = NatsBus(
        settings.nats_url or server_url or f"nats://{address}",
        user=SERVER_USER,
        password=data.message_server_password(),
        name=name,
        tls=client_context(settings.tls_ca) if settings.tls_ca else None,
    )
    async with connection:
        yield connection


def issuer(data: DataDirectory) -> "Issuer":
    """Return who signs the credentials of workers."""
    from dpip.controller.nats_credentials import Issuer, new_seed

    return Issuer(data.signing_key(new_seed))


def listen_for_requests(settings: Settings) -> socket.socket:
    """Return the socket of the API. Raises ``CannotStart``."""
    from dpip.api.server import listen

    network.check_exposure(settings, "The API")
    return listen(settings.host, settings.port)


def api_url(settings: Settings) -> str:
    """Where users and workers find the API."""
    scheme = "https" if settings.tls_cert else "http"
    return settings.api_url or f"{scheme}://{_address(settings.host, settings.port)}"


def controller_address(settings: Settings, port: int) -> str:
    """Where workers on this machine find the message-passing server."""
    # Compared with, not bound to.
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104
    return _address(loopback.get(settings.host, settings.host), port)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
