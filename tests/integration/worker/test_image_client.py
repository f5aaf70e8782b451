"""A worker's uploads, opposite an API that follows a script."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dpip.model.image import PictureFormat
from dpip.model.note import Note
from dpip.wire.messages import Run
from dpip.worker import image_client as image_client_module
from dpip.worker.image_client import ApiAway, ImageClient

RUN = Run(
    job_id="job",
    attempt=1,
    workload_id="wl",
    workload_name="holidays",
    image_id="im",
    format=PictureFormat.PNG,
    sha256="00",
    pipeline=b"[]",
    memory_limit=1,
    time_limit=1,
)
BROKEN_OFF = 0


class ScriptedApi:
    """Answers uploads with one status after another; the last one stays."""

    def __init__(self) -> None:
        self.statuses = [201]
        self.bodies: list[bytes] = []
        self.notes: list[object] = []

    async def upload(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == BROKEN_OFF:
            assert request.transport
            request.transport.abort()
        form = await request.post()
        field = form["data"]
        assert isinstance(field, web.FileField)
        self.bodies.append(field.file.read())
        self.notes.append(form.get("notes"))
        return web.Response(status=status, headers={"Retry-After": "1"})


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def images(api: ScriptedApi) -> AsyncIterator[ImageClient]:
    app = web.Application()
    app.router.add_post("/images", api.upload)
    async with TestServer(app) as server:
        client = ImageClient(str(server.make_url("/")), "token")
        yield client
        await client.close()


@pytest.fixture(params=[1, 100_000], ids=["small", "large"])
def result(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    result = tmp_path / "result.png"
    result.write_bytes(b"picture" * request.param)
    return result


@pytest.mark.parametrize("status", [429, 500, 503, 507, BROKEN_OFF])
async def test_an_upload_is_repeated_while_the_api_is_too_busy_or_away(
    api: ScriptedApi, images: ImageClient, result: Path, status: int
) -> None:
    """All of it, until it is taken."""
    api.statuses = [status, status, 201]
    await images.upload(RUN, result, milliseconds=1)
    assert api.bodies[-1] == result.read_bytes()
    assert api.statuses == [201]


async def test_notes_go_with_the_result(
    api: ScriptedApi, images: ImageClient, result: Path
) -> None:
    """As text; without any, as workers of earlier versions sent a result."""
    await images.upload(RUN, result, milliseconds=1, notes=list(Note))
    await images.upload(RUN, result, milliseconds=1)
    assert api.notes == [",".join(Note), None]


async def test_patience_with_the_api_has_an_end(
    api: ScriptedApi, images: ImageClient, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is then given back: it is not its fault."""
    monkeypatch.setattr(image_client_module, "_PATIENCE_SECONDS", 0.0)
    api.statuses = [503]
    with pytest.raises(ApiAway, match="503"):
        await images.upload(RUN, result, milliseconds=1)
