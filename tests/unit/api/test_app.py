"""What the API answers while the datastore is away."""

from typing import Any, cast

import pytest
from fastapi import FastAPI

from dpip.api.app import create_app
from dpip.errors import DpipError, StorageFull, StorageUnavailable
from dpip.ports.bus import Bus
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import Datastore
from dpip.ports.image_store import ImageStore
from tests.unit.api.asgi import ask
from tests.unit.api.settings import SETTINGS


class Away:
    """A datastore of which every method raises the same error."""

    def __init__(self, error: DpipError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*args: object, **kwargs: object) -> None:
            raise self.error

        return fail


def app(error: DpipError) -> FastAPI:
    return create_app(
        datastore=cast("Datastore", Away(error)),
        images=cast("ImageStore", None),
        bus=cast("Bus", None),
        clock=SystemClock(),
        settings=SETTINGS,
    )


@pytest.mark.parametrize(
    "error", [StorageUnavailable(storage="datastore", reason="it is locked"), StorageFull()]
)
async def test_it_is_not_ready_without_a_datastore(error: DpipError) -> None:
    """Whatever ails the datastore, the API is not ready, and says when to ask again."""
    document, headers = await ask(app(error), "GET", "/readyz")
    assert (document["status"], document["code"]) == (503, "storage_unavailable")
    assert headers["retry-after"] == "2"


async def test_it_lives_without_a_datastore() -> None:
    """A process that is up says so."""
    assert (await ask(app(StorageFull()), "GET", "/healthz"))[0] == {"status": "ok"}


async def test_a_request_is_told_to_come_back() -> None:
    """A token that cannot be looked up is neither refused nor believed."""
    error = StorageUnavailable(storage="datastore", reason="it is locked")
    document, headers = await ask(app(error), "GET", "/workloads", token="x")
    assert (document["status"], document["code"]) == (503, "storage_unavailable")
    assert headers["retry-after"] == "2"
