from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.controller.parts import Parts, controller_parts


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with controller_parts(tmp_path) as parts:
        yield parts
