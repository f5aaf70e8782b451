"""A worker on the file system of the image store, opposite an API that follows a script."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestServer

from dpip.direct_store import DirectStore
from dpip.model.ids import new_id
from dpip.model.image import ImageKind, PictureFormat
from dpip.model.image_place import STAGING, place_of_image, staging_area
from dpip.model.note import Note
from dpip.wire.messages import Run
from dpip.worker import store_access
from dpip.worker.image_client import AttemptIsStale, ImageClient, ResultRefused
from tests.nats import PATIENCE

ORIGINAL, RESULT = b"original" * 40_000, b"result" * 50_000
RUN = Run(
    job_id="job",
    attempt=1,
    workload_id="wl",
    workload_name="holidays",
    image_id="im",
    format=PictureFormat.PNG,
    sha256=hashlib.sha256(ORIGINAL).hexdigest(),
    pipeline=b"[]",
    memory_limit=1,
    time_limit=1,
)


class ScriptedApi:
    """Sees staging areas or not, and takes what is staged with a status."""

    def __init__(self, images: Path) -> None:
        self.images = images
        self.area_status = 204
        self.status = 201
        self.asked = 0
        self.is_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.sent: list[bytes] = []
        self.committed: list[bytes] = []
        self.notes: list[object] = []
        self.files: list[int] = []
        self.loses = 0
        self.groups: list[int] = []
        self.let = asyncio.Event()
        self.let.set()
        self.downloads = 0

    async def area(self, _: web.Request) -> web.Response:
        self.asked += 1
        self.is_asked.set()
        await self.answers.wait()
        return web.Response(status=self.area_status)

    async def commit(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        results = (await request.json())["results"]
        self.groups.append(len(results))
        self.notes.extend(result.get("notes") for result in results)
        await self.let.wait()
        area = self.images / STAGING / staging_area(token)
        statuses = [self._take(area / result["name"], result["sha256"]) for result in results]
        answers = [{"status": status, "detail": "So it is."} for status in statuses]
        return web.json_response({"pictures": answers}, status=201)

    def _take(self, staged: Path, sha256: str) -> int:
        if not staged.exists():
            return 404
        assert hashlib.sha256(staged.read_bytes()).hexdigest() == sha256
        if self.loses:
            self.loses -= 1
            staged.unlink()
            return 503
        if self.status == 201:
            self.committed.append(staged.read_bytes())
            self.files.append(staged.stat().st_ino)
            staged.unlink()
        return self.status

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        field = form["data"]
        assert isinstance(field, web.FileField)
        self.sent.append(field.file.read())
        return web.Response(status=201)

    async def download(self, _: web.Request) -> web.Response:
        self.downloads += 1
        return web.Response(body=ORIGINAL)


@pytest.fixture
def api(tmp_path: Path) -> ScriptedApi:
    images = tmp_path / "images"
    (images / STAGING).mkdir(parents=True)
    return ScriptedApi(images)


@pytest.fixture
def original(api: ScriptedApi) -> Path:
    """The original, in its place."""
    place = place_of_image("holidays", "wl", ImageKind.ORIGINAL, "im", PictureFormat.PNG)
    path = api.images / place
    path.parent.mkdir(parents=True)
    path.write_bytes(ORIGINAL)
    return path


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "result.png"
    path.write_bytes(RESULT)
    return path


def one_more(result: Path) -> Path:
    """Of the same bytes: a result is used up when it is handed in."""
    copy = result.with_name(new_id())
    copy.write_bytes(result.read_bytes())
    return copy


@pytest.fixture
async def client(api: ScriptedApi, original: Path) -> AsyncIterator[ImageClient]:
    app = web.Application()
    app.router.add_get("/staging-area", api.area)
    app.router.add_get("/images/{id}", api.download)
    app.router.add_post("/images", api.upload)
    app.router.add_post("/staged-results", api.commit)
    async with TestServer(app) as server:
        client = ImageClient(str(server.make_url("/")), "token", images=api.images)
        yield client
        await client.close()
    assert not list((api.images / STAGING).iterdir())


async def test_notes_go_with_the_commit(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """As text; without any, as workers of earlier versions asked for a commit."""
    await client.upload(RUN, one_more(result), milliseconds=1, notes=list(Note))
    await client.upload(RUN, one_more(result), milliseconds=1)
    assert api.notes == [",".join(Note), None]


async def test_pictures_do_not_go_through_an_api_that_sees_the_staging_area(
    api: ScriptedApi, client: ImageClient, result: Path, tmp_path: Path
) -> None:
    """It is asked once whether it does, and then for commits alone."""
    target = tmp_path / "target"
    await client.download(RUN, target)
    await client.upload(RUN, one_more(result), milliseconds=1)
    assert target.read_bytes() == ORIGINAL
    assert api.committed == [RESULT]
    assert (api.asked, api.downloads, api.sent) == (1, 0, [])


async def test_an_original_is_not_copied(
    client: ImageClient, original: Path, tmp_path: Path
) -> None:
    """Its file gets another name, and is what it was when that goes."""
    target = tmp_path / "target"
    await client.download(RUN, target)
    assert target.samefile(original)
    target.unlink()
    assert original.read_bytes() == ORIGINAL


@pytest.mark.parametrize("levels", range(2))
async def test_a_link_in_the_place_of_an_original_is_not_followed(
    api: ScriptedApi, client: ImageClient, original: Path, tmp_path: Path, levels: int
) -> None:
    """Nor one in the place of its directory: the API is asked, which says what is wrong."""
    replaced = [original, original.parent][levels]
    replaced.rename(tmp_path / "elsewhere")
    replaced.symlink_to(tmp_path / "elsewhere")
    target = tmp_path / "target"
    await client.download(RUN, target)
    assert api.downloads == 1
    assert not target.is_symlink()


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM, errno.EMLINK])
async def test_an_original_that_cannot_have_another_name_is_copied(
    api: ScriptedApi,
    client: ImageClient,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: int,
) -> None:
    """As on another file system. Nothing that is done to the copy reaches the image store."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "target"
    await client.download(RUN, target)
    assert target.read_bytes() == ORIGINAL
    target.write_bytes(b"")
    assert original.read_bytes() == ORIGINAL
    assert api.downloads == 0


async def test_all_goes_through_an_api_that_does_not_see_it(
    api: ScriptedApi, client: ImageClient, result: Path, tmp_path: Path
) -> None:
    """The directories are another system's then, and nothing stays there."""
    api.area_status = 404
    await client.download(RUN, tmp_path / "target")
    assert not list((api.images / STAGING).iterdir())
    await client.upload(RUN, one_more(result), milliseconds=1)
    assert (api.asked, api.downloads, api.sent) == (1, 1, [RESULT])


@pytest.mark.parametrize("damage", ["changed", "missing"])
async def test_an_original_that_is_not_as_it_was_kept_is_left_to_the_api(
    api: ScriptedApi, client: ImageClient, original: Path, tmp_path: Path, damage: str
) -> None:
    """Which says what is wrong with it."""
    if damage == "missing":
        original.unlink()
    else:
        original.write_bytes(b"x" + ORIGINAL[1:])
    target = tmp_path / "target"
    before = original.exists() and original.read_bytes()
    await client.download(RUN, target)
    assert api.downloads == 1
    assert target.read_bytes() == ORIGINAL
    assert (original.exists() and original.read_bytes()) == before


async def test_what_is_downloaded_does_not_reach_an_original_by_another_name(
    api: ScriptedApi, client: ImageClient, original: Path, tmp_path: Path
) -> None:
    """Such as an attempt may have left there."""
    original.write_bytes(b"changed")
    target = tmp_path / "target"
    target.hardlink_to(original)
    await client.download(RUN, target)
    assert (target.read_bytes(), api.downloads) == (ORIGINAL, 1)
    assert original.read_bytes() == b"changed"


async def test_a_result_is_not_copied(api: ScriptedApi, client: ImageClient, result: Path) -> None:
    """What the API takes is the file that was filtered."""
    file = result.stat().st_ino
    await client.upload(RUN, result, milliseconds=1)
    assert (api.committed, api.files) == ([RESULT], [file])
    assert not result.exists()


async def test_a_result_on_another_file_system_is_copied(
    api: ScriptedApi, client: ImageClient, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays where it is."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "rename", refuse)
    await client.upload(RUN, result, milliseconds=1)
    assert api.committed == [RESULT]
    assert result.read_bytes() == RESULT


@pytest.mark.parametrize("times", [1, 3])
async def test_a_result_that_the_api_has_taken_and_lost_is_handed_in_again(
    api: ScriptedApi, client: ImageClient, result: Path, times: int
) -> None:
    """As when its database is locked: the bytes are there until they are committed."""
    api.loses = times
    await client.upload(RUN, result, milliseconds=1)
    assert api.committed == [RESULT]
    assert not list((api.images / STAGING / staging_area("token")).iterdir())


async def test_a_result_that_is_given_back_leaves_nothing(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """When the job is cancelled while it is committed."""
    api.let.clear()
    handing_in = asyncio.create_task(client.upload(RUN, result, milliseconds=1))
    async with asyncio.timeout(PATIENCE):
        while not api.groups:
            await asyncio.sleep(0)
    handing_in.cancel()
    await asyncio.wait([handing_in])
    assert not list((api.images / STAGING / staging_area("token")).iterdir())
    api.let.set()


async def test_a_result_that_the_api_does_not_find_is_sent(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """And whether it sees the staging area is asked anew."""
    api.status = 404
    await client.upload(RUN, one_more(result), milliseconds=1)
    assert api.sent == [RESULT]
    await client.upload(RUN, one_more(result), milliseconds=1)
    assert api.asked == 2


@pytest.mark.parametrize("how", ["link", "pipe", "growing file"])
def test_a_result_that_is_no_file_of_a_length_is_not_copied(
    api: ScriptedApi, result: Path, tmp_path: Path, how: str
) -> None:
    """It is not waited for either, nor read for as long as somebody writes to it."""
    store = DirectStore(api.images, "token")
    staged = tmp_path / "staged"
    if how == "link":
        staged.symlink_to(result)
    elif how == "pipe":
        os.mkfifo(staged)
    else:
        staged = Path("/proc/self/status")  # Says that it is empty.
    with pytest.raises(OSError, match=r"symbolic link|regular|grown"):
        store.move_in(staged)
    assert not list((api.images / STAGING / staging_area("token")).iterdir())
    store.close()


@pytest.mark.parametrize(("status", "error"), [(409, AttemptIsStale), (422, ResultRefused)])
async def test_a_refusal_is_one_whichever_way(
    api: ScriptedApi, client: ImageClient, result: Path, status: int, error: type[Exception]
) -> None:
    """It is not sent again, and nothing of it stays in the image store."""
    api.status = status
    with pytest.raises(error):
        await client.upload(RUN, one_more(result), milliseconds=1)
    assert api.sent == []
    area = api.images / STAGING / staging_area("token")
    assert not list(area.iterdir())


async def test_a_new_token_has_a_new_area(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """The former one goes: the API would look for nothing there."""
    await client.upload(RUN, one_more(result), milliseconds=1)
    client.admit(client._endpoint, "another")
    await client.upload(RUN, one_more(result), milliseconds=1)
    areas = [path.name for path in (api.images / STAGING).iterdir()]
    assert areas == [staging_area("another")]
    assert api.committed == [RESULT, RESULT]


async def test_a_job_that_is_cancelled_while_the_api_is_asked_leaves_the_answer_to_the_others(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """The question is asked once, for all that wait and all that come later."""
    api.answers.clear()
    given_back = asyncio.create_task(client.upload(RUN, one_more(result), milliseconds=1))
    async with asyncio.timeout(PATIENCE):
        await api.is_asked.wait()
        given_back.cancel()
        await asyncio.wait([given_back])
        api.answers.set()
        await client.upload(RUN, one_more(result), milliseconds=1)
    assert (api.asked, api.committed, api.sent) == (1, [RESULT], [])


async def test_an_answer_for_the_former_token_is_none_for_the_new_one(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """A worker may have to join again while it asks."""
    api.answers.clear()
    first = asyncio.create_task(client.upload(RUN, one_more(result), milliseconds=1))
    async with asyncio.timeout(PATIENCE):
        await api.is_asked.wait()
        client.admit(client._endpoint, "another")
        api.answers.set()
        await first
        await client.upload(RUN, one_more(result), milliseconds=1)
    assert (api.asked, api.sent, api.committed) == (2, [RESULT], [RESULT])


async def test_an_api_that_gives_no_answer_is_left_alone_for_a_while(
    api: ScriptedApi, client: ImageClient, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures wait for it once, and not for long; until it is asked again they are sent."""
    monkeypatch.setattr(store_access, "_PATIENCE", ClientTimeout(total=0.05))
    api.answers.clear()
    async with asyncio.timeout(PATIENCE):
        await client.upload(RUN, one_more(result), milliseconds=1)
        await client.upload(RUN, one_more(result), milliseconds=1)
    api.answers.set()
    assert (api.asked, api.sent) == (1, [RESULT, RESULT])


async def test_an_api_that_gave_no_answer_is_asked_again(
    api: ScriptedApi, client: ImageClient, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it cannot tell for now does not mean no."""
    monkeypatch.setattr(store_access, "_SILENCE_SECONDS", 0.0)
    api.area_status = 503
    await client.upload(RUN, one_more(result), milliseconds=1)
    api.area_status = 204
    await client.upload(RUN, one_more(result), milliseconds=1)
    assert (api.asked, api.sent, api.committed) == (2, [RESULT], [RESULT])


async def test_a_result_of_the_former_area_is_no_reason_to_doubt_the_new_one(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """The former one went with its token, so the API cannot find the result: it is sent."""
    api.let.clear()
    first = asyncio.create_task(client.upload(RUN, one_more(result), milliseconds=1))
    async with asyncio.timeout(PATIENCE):
        while not api.groups:
            await asyncio.sleep(0)
        client.admit(client._endpoint, "another")
        second = asyncio.create_task(client.upload(RUN, one_more(result), milliseconds=1))
        while not client._commits._waiting:
            await asyncio.sleep(0)
        api.let.set()
        await asyncio.gather(first, second)
        await client.upload(RUN, one_more(result), milliseconds=1)
    assert (api.asked, api.sent, api.committed) == (2, [RESULT], [RESULT, RESULT])


async def test_results_that_come_while_one_is_committed_are_committed_together(
    api: ScriptedApi, client: ImageClient, result: Path
) -> None:
    """Each is answered, and none waits for more of them."""
    api.let.clear()
    first = asyncio.create_task(client.upload(RUN, one_more(result), milliseconds=1))
    async with asyncio.timeout(PATIENCE):
        while not api.groups:
            await asyncio.sleep(0)
        uploads = [client.upload(RUN, one_more(result), milliseconds=1) for _ in "abc"]
        others = [asyncio.create_task(upload) for upload in uploads]
        while len(client._commits._waiting) < len(others):
            await asyncio.sleep(0)
        api.let.set()
        await asyncio.gather(first, *others)
    assert api.groups == [1, 3]
    assert api.committed == [RESULT] * 4
