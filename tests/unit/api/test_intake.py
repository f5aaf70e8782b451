"""An accepted picture is durable, and a refused one leaves nothing behind."""

from collections.abc import Callable, Collection
from typing import Any, cast

import pytest

from dpip.api.admission import Admission
from dpip.api.context import Context
from dpip.api.hints import Hints
from dpip.api.intake import take_original
from dpip.api.login_throttle import LoginThrottle
from dpip.api.passwords import Passwords
from dpip.api.quotas import Quotas
from dpip.api.settled_feed import SettledFeed
from dpip.api.token_use import TokenUse
from dpip.api.upload import Upload
from dpip.errors import BusUnavailable, DpipError, NotFound, StorageFull, StorageUnavailable
from dpip.model.ids import new_id
from dpip.model.image import Image
from dpip.model.user import Role, User
from dpip.model.workload import RemovedWorkload, Workload
from dpip.ports.bus import Bus
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import Datastore
from dpip.ports.image_store import ImageStore, StagedFile
from tests.unit.api.settings import SETTINGS
from tests.unit.api.test_upload import MemoryStage

GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
OWNER = User(id=new_id(), name="ann", role=Role.USER, password_hash="", created_at=0.0)
WORKLOAD = Workload(id=new_id(), name="w", owner_id=OWNER.id, pipeline=b"", created_at=0.0)


class Store:
    """Keeps ids of images."""

    def __init__(self) -> None:
        self.kept: set[str] = set()

    async def keep(self, staged: StagedFile, image: Image) -> None:
        self.kept.add(image.id)

    async def remove(self, image: Image) -> None:
        self.kept.remove(image.id)


class Rows:
    """One workload, and a way to fail."""

    def __init__(self, *, failure: DpipError | None = None, recorded: bool = False) -> None:
        self.failure = failure
        self.recorded = recorded
        self.answers_afterwards = True

    async def workload(self, workload_id: str) -> Workload:
        return WORKLOAD

    async def add_original(
        self, image: Image, job_id: str, key: str | None = None, *, limits: object = None
    ) -> Image:
        if self.failure:
            raise self.failure
        return image

    async def removed_workloads(self, workload_id: str) -> list[RemovedWorkload]:
        return []

    async def recorded_images(self, image_ids: Collection[str]) -> set[str]:
        if not self.answers_afterwards:
            raise StorageUnavailable(storage="datastore", reason="it is away")
        return set(image_ids) if self.recorded else set()


class DeadBus:
    """No message gets through."""

    async def publish(self, subject: str, payload: bytes) -> None:
        raise BusUnavailable(address="nats://nowhere", reason="refused")


def context(rows: Rows, store: Store) -> Context:
    bus = cast("Bus", DeadBus())
    return Context(
        datastore=cast("Datastore", rows),
        images=cast("ImageStore", store),
        bus=bus,
        hints=Hints(bus),
        clock=SystemClock(),
        settings=SETTINGS,
        passwords=Passwords(),
        feed=SettledFeed(bus),
        admission=Admission(cast("Datastore", rows), pending_jobs=1, incoming_bytes=1),
        quotas=Quotas(cast("Datastore", rows), SETTINGS.quotas, SystemClock()),
        token_use=TokenUse(cast("Datastore", rows)),
        logins=LoginThrottle(cast("Datastore", rows), SystemClock()),
    )


@pytest.fixture
async def upload() -> Upload:
    staged = MemoryStage()
    await staged.write(GIF)
    return Upload(staged, {"workload_id": WORKLOAD.id})


async def test_an_upload_survives_a_bus_that_is_down(upload: Upload) -> None:
    """What is durable is accepted, though nobody could be told of it."""
    store = Store()
    image = await take_original(context(Rows(), store), WORKLOAD, upload)
    assert store.kept == {image.id}
    assert (image.owner_id, image.size, image.sha256) == (OWNER.id, len(GIF), upload.staged.sha256)
    assert (image.header.width, image.header.height) == (1, 1)


@pytest.mark.parametrize(
    "failure",
    [
        NotFound(kind="workload", id=WORKLOAD.id),
        StorageFull(),
        StorageUnavailable(storage="datastore", reason="it is locked"),
    ],
    ids=lambda failure: failure.code,
)
async def test_a_row_that_was_refused_takes_its_bytes_along(
    upload: Upload, failure: DpipError
) -> None:
    """Where the datastore has no row, the store has no bytes."""
    store = Store()
    with pytest.raises(type(failure)):
        await take_original(context(Rows(failure=failure), store), WORKLOAD, upload)
    assert store.kept == set()


def _recorded(rows: Rows) -> None:
    rows.recorded = True


def _away(rows: Rows) -> None:
    rows.answers_afterwards = False


@pytest.mark.parametrize("change", [_recorded, _away])
async def test_bytes_that_may_have_a_row_are_left(
    upload: Upload, change: Callable[[Rows], Any]
) -> None:
    """After a commit whose answer was lost, a picture is kept unless it surely has no row."""
    store, rows = Store(), Rows(failure=StorageUnavailable(storage="datastore", reason="gone"))
    change(rows)
    with pytest.raises(StorageUnavailable):
        await take_original(context(rows, store), WORKLOAD, upload)
    assert len(store.kept) == 1
