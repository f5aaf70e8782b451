"""A running system for the tests that do not disturb each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.apart import Apart
from tests.acceptance.system import LONG_LEASES, Api, System


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system"))
    yield system
    system.process.stop()


@pytest.fixture
def own_system(tmp_path: Path) -> Iterator[System]:
    """A system that a test may harm."""
    system = System(tmp_path)
    yield system
    system.process.stop()


@pytest.fixture
def patient_system(tmp_path: Path) -> Iterator[System]:
    """One that a test may harm, and in which no lease lapses meanwhile."""
    system = System(tmp_path, workers=2, **LONG_LEASES)
    yield system
    system.process.stop()


@pytest.fixture
def api(system: System) -> Api:
    return system.api


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    apart = Apart(tmp_path)
    yield apart
    apart.stop()
