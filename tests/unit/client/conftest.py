from collections.abc import Iterator

import pytest

from dpip.client import Client
from tests.unit.client.stub_api import StubApi, serving


@pytest.fixture
def api() -> StubApi:
    return StubApi()


@pytest.fixture
def url(api: StubApi) -> Iterator[str]:
    with serving(api) as url:
        yield url


@pytest.fixture
def client(api: StubApi, url: str) -> Iterator[Client]:
    with Client(url, token=api.token) as client:
        yield client
