from collections.abc import Iterator

import pytest

from tests.integration.api.system import ApiSession, System, running_system


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("api")) as system:
        yield system


@pytest.fixture
def user(system: System) -> ApiSession:
    return system.user()
