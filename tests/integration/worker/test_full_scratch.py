"""A scratch directory without room is the fault of the node, not of the picture."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from dpip.model.image import PictureFormat
from dpip.wire.messages import OutcomeKind, Run
from dpip.worker.image_client import ImageClient
from dpip.worker.workshop import Workshop
from tests.contract.small_disk import SmallDisk, mounted_disk

RUN = Run(
    job_id="job",
    attempt=1,
    workload_id="wl",
    workload_name="holidays",
    image_id="im",
    format=PictureFormat.PNG,
    sha256="00",
    pipeline=b"[]",
    memory_limit=1 << 30,
    time_limit=60,
)
PATIENCE = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted_disk(tmp_path / "disk", 512 << 10) as disk:
        yield disk


@pytest.fixture
async def workshop(disk: SmallDisk) -> AsyncIterator[Workshop]:
    workshop = Workshop(1, 0, disk.path)
    await workshop.open()
    yield workshop
    await workshop.close()


def noise(size: int) -> bytes:
    """A picture that is no smaller for being compressed."""
    import pyvips

    pixels = pyvips.Image.gaussnoise(size, size, mean=128, sigma=60).cast("uchar")
    return bytes(pixels.pngsave_buffer())


async def outcome_of(workshop: Workshop, content: bytes) -> tuple[OutcomeKind, str]:
    """How an attempt on a picture ends, and what the worker writes to its log about it."""

    async def download(_request: web.Request) -> web.Response:
        return web.Response(body=content)

    async def upload(request: web.Request) -> web.Response:
        await request.post()
        return web.Response(status=201)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/images/im", download)
    app.router.add_post("/images", upload)
    async with TestServer(app) as server:
        images = ImageClient(str(server.make_url("/")), "token")
        try:
            with capture_logs() as logs:
                async with asyncio.timeout(PATIENCE):  # Less than the patience with an API.
                    outcome = await workshop.work_on(RUN, images)
        finally:
            await images.close()
    assert outcome.failure is None
    return outcome.kind, " ".join(str(each.get("reason")) for each in logs)


async def test_a_job_whose_original_finds_no_room_is_given_back(workshop: Workshop) -> None:
    """At once, and the log says where room is missing."""
    kind, said = await outcome_of(workshop, noise(1000))
    assert kind is OutcomeKind.RETURNED
    assert "no room in worker.scratch_dir" in said


async def test_a_job_whose_result_finds_no_room_is_given_back(
    workshop: Workshop, disk: SmallDisk
) -> None:
    """It is no failure of the picture; and with room, the same slot does it."""
    original = noise(600)
    assert disk.size / 2 < len(original) < disk.size
    for _ in range(2):
        kind, said = await outcome_of(workshop, original)
        assert kind is OutcomeKind.RETURNED
        assert "no room in worker.scratch_dir" in said
    assert (await outcome_of(workshop, noise(300)))[0] is OutcomeKind.DONE
