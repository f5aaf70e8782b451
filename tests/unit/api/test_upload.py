"""An upload is streamed into the store, and nothing of a bad one stays behind."""

import hashlib
import io
from collections.abc import AsyncGenerator, Sequence
from typing import BinaryIO

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from dpip.api.upload import received_upload
from dpip.errors import InvalidValue, MalformedRequest, TooLarge
from dpip.model.image import Image
from dpip.model.workload import Workload
from dpip.ports.datastore import Workloads
from dpip.ports.image_store import StagedFile
from tests.unit.api.test_multipart import CONTENT_TYPE, body, part, split

MEGABYTE = 1 << 20


class MemoryStage:
    """Staged bytes in memory, which tell how they came and whether they went."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.discarded = False

    @property
    def content(self) -> bytes:
        return b"".join(self.writes)

    @property
    def size(self) -> int:
        return sum(map(len, self.writes))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    async def write(self, chunk: bytes) -> None:
        self.writes.append(chunk)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content)

    async def discard(self) -> None:
        self.discarded = True


class MemoryStages:
    """An image store that takes bytes in, and remembers what it staged."""

    def __init__(self) -> None:
        self.staged: list[MemoryStage] = []

    async def stage(self) -> MemoryStage:
        self.staged.append(MemoryStage())
        return self.staged[-1]

    async def sees_area(self, area: str) -> bool:
        raise NotImplementedError

    async def adopt(self, area: str, name: str, limit: int) -> StagedFile:
        raise NotImplementedError

    async def keep(self, staged: StagedFile, image: Image) -> None:
        raise NotImplementedError

    def read(
        self, image: Image, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes]:
        raise NotImplementedError

    async def remove(self, image: Image) -> None:
        raise NotImplementedError

    async def describe(
        self, workload: Workload, owner: str | None, results: Sequence[Image] = ()
    ) -> None:
        raise NotImplementedError

    async def undescribed(self) -> list[str]:
        raise NotImplementedError

    async def remove_workload(self, name: str, workload_id: str) -> None:
        raise NotImplementedError

    async def sweep(self, workloads: Workloads) -> int:
        raise NotImplementedError


def request(
    chunks: list[bytes], *, breaks_off: bool = False, announced: int | None = None
) -> Request:
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    end: Message = {"type": "http.request", "body": b"", "more_body": False}
    messages.append({"type": "http.disconnect"} if breaks_off else end)
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    headers = [(b"content-type", CONTENT_TYPE.encode())]
    if announced is not None:
        headers.append((b"content-length", str(announced).encode()))
    return Request({"type": "http", "headers": headers}, receive)


@pytest.fixture
def images() -> MemoryStages:
    return MemoryStages()


async def test_a_picture_is_staged_until_the_end_of_the_block(images: MemoryStages) -> None:
    """The picture and its fields come out whole, and what nobody kept is discarded."""
    picture = bytes(range(256)) * (3 * MEGABYTE // 256)
    whole = body(part("workload_id", b"w"), part("data", picture, "x.png"))
    chunks = split(whole, range(0, len(whole), 1 << 14))
    async with received_upload(request(chunks), images, 4 * MEGABYTE) as upload:
        staged = images.staged[0]
        assert staged.content == picture
        assert upload.fields == {"workload_id": "w"}
        assert not staged.discarded
    assert staged.discarded


async def test_too_many_bytes_are_refused_before_they_are_read(images: MemoryStages) -> None:
    """An announced size over the limit is enough; no byte is asked for."""
    upload = received_upload(request([], announced=3 * MEGABYTE), images, MEGABYTE)
    with pytest.raises(TooLarge):
        async with upload:
            pass
    assert all(staged.discarded for staged in images.staged)


@pytest.mark.parametrize("excess", [1, 3 * MEGABYTE])
async def test_too_many_bytes_are_refused_while_they_are_read(
    images: MemoryStages, excess: int
) -> None:
    """Without an announced size the bytes are counted, and none beyond the limit is written."""
    picture = bytes(MEGABYTE + excess)
    with pytest.raises(TooLarge) as refusal:
        async with received_upload(
            request(split(body(part("data", picture, "x")), range(0, len(picture), 1 << 16))),
            images,
            MEGABYTE,
        ):
            pass
    assert refusal.value.facts["limit"] == MEGABYTE
    assert images.staged[0].size <= MEGABYTE
    assert images.staged[0].discarded


async def test_a_client_that_breaks_off_leaves_nothing(images: MemoryStages) -> None:
    """What was staged of a broken upload is discarded."""
    chunks = [part("data", bytes(2 * MEGABYTE), "x.png")]
    with pytest.raises(ClientDisconnect):
        async with received_upload(request(chunks, breaks_off=True), images, 4 * MEGABYTE):
            pass
    assert images.staged[0].size
    assert images.staged[0].discarded


@pytest.mark.parametrize(
    ("whole", "error"),
    [
        (body(part("workload_id", b"w")), InvalidValue),
        (b"--bound--\r\n", InvalidValue),
        (part("data", b"abc", "x.png"), MalformedRequest),
        (b"", MalformedRequest),
    ],
    ids=["no file", "no part", "no end", "no body"],
)
async def test_a_bad_form_leaves_nothing(
    images: MemoryStages, whole: bytes, error: type[Exception]
) -> None:
    """A form without a file or without an end is refused, and what was staged is discarded."""
    with pytest.raises(error):
        async with received_upload(request([whole]), images, MEGABYTE):
            pass
    assert all(staged.discarded for staged in images.staged)


async def test_an_error_of_the_route_leaves_nothing(images: MemoryStages) -> None:
    """A picture that is refused after it has come in is discarded."""
    chunks = [body(part("data", b"abc", "x.png"))]
    with pytest.raises(KeyError):
        async with received_upload(request(chunks), images, MEGABYTE):
            raise KeyError
    assert images.staged[0].discarded


async def test_fields_before_the_file_are_checked_before_its_bytes(images: MemoryStages) -> None:
    """What they say can spare the client sending the picture."""
    seen: list[dict[str, str]] = []

    async def check(fields: dict[str, str]) -> None:
        seen.append(dict(fields))
        raise KeyError

    begun = part("workload_id", b"w") + part("data", bytes(MEGABYTE), "x.png")
    with pytest.raises(KeyError):
        async with received_upload(request([begun]), images, MEGABYTE, check=check):
            pass
    assert seen == [{"workload_id": "w"}]
    assert not images.staged[0].writes
    assert images.staged[0].discarded


async def test_a_picture_that_is_there_already_is_not_checked_twice(images: MemoryStages) -> None:
    """Nothing is spared any more, and whoever takes it in checks it."""

    async def check(fields: dict[str, str]) -> None:
        raise KeyError

    whole = body(part("workload_id", b"w"), part("data", b"abc", "x.png"))
    async with received_upload(request([whole]), images, MEGABYTE, check=check) as upload:
        assert upload.fields == {"workload_id": "w"}
