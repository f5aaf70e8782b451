from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.controller.parts import Parts, controller_parts
from tests.integration.scheduler.workers import Workers


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with controller_parts(tmp_path) as parts:
        yield parts


@pytest.fixture
def workers(parts: Parts) -> Workers:
    return Workers(parts)
