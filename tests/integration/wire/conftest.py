from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dpip.controller.message_server import MessageServer
from dpip.wire.nats_bus import NatsBus
from tests.nats import message_server, part_of


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MessageServer]:
    async with message_server(tmp_path) as server:
        yield server


@pytest.fixture
async def bus(server: MessageServer) -> AsyncIterator[NatsBus]:
    async with part_of(server) as bus:
        yield bus


@pytest.fixture
async def other(server: MessageServer) -> AsyncIterator[NatsBus]:
    async with part_of(server) as bus:
        yield bus
