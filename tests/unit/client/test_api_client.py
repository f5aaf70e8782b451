import io
import math
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO, cast

import pytest

import dpip
from dpip.client import Client, transport
from dpip.client.transport import Transport
from dpip.errors import ApiRefused, ApiUnreachable, UnexpectedAnswer
from tests.unit.client.stub_api import StubApi, serving


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_sdk_is_at_hand_in_the_package() -> None:
    """``dpip.Client`` is the client."""
    assert dpip.Client is Client


def test_login_gives_the_token_of_all_later_requests(api: StubApi, url: str) -> None:
    """Names and passwords may hold any character, a colon in the password too."""
    with Client(url) as client:
        client.login("ädmin", "pass:wörd")
        workload = client.create_workload("blur:sigma=5", "frames")
        client.logout()
        with pytest.raises(ApiRefused) as caught:
            client.create_workload()
    assert (workload.id, workload.filter, workload.status) == ("w1", "blur:sigma=5", "scheduling")
    assert caught.value.code == "unauthenticated"


def test_what_a_workload_asks_for_is_sent(api: StubApi, client: Client) -> None:
    """And nothing besides, so that the server's defaults hold for the rest."""
    deadline = datetime(2030, 1, 31, 19, tzinfo=timezone(timedelta(hours=1)))
    client.create_workload("blur", tags=["a", "b"], gpu="required", priority=3, deadline=deadline)
    client.create_workload("blur")
    nothing = {"filter": "blur", "keep_metadata": False}
    asked = {"tags": ["a", "b"], "gpu": "required", "priority": 3}
    assert api.wanted == [nothing | asked | {"deadline": "2030-01-31T19:00:00+01:00"}, nothing]


def test_an_explanation_has_sentences_and_facts(api: StubApi, client: Client) -> None:
    """Times are times; what the server leaves out is left out."""
    api.images["i0"] = b""
    explanation = client.explain("i0")
    assert (explanation.image_id, explanation.state) == ("i0", "pending")
    assert explanation.summary == "No worker can take it now."
    assert explanation.retry_at == datetime(2030, 1, 31, 18, tzinfo=UTC)
    assert explanation.obstacles[0].reason == "has no tag fast"
    assert explanation.worker is None


def test_a_refusal_carries_what_the_api_said(client: Client) -> None:
    """Code, status and detail of the problem document are on the error."""
    with pytest.raises(ApiRefused) as caught:
        client.create_workload("sepia")
    error = caught.value
    assert (error.code, error.status, str(error)) == (
        "invalid_value",
        422,
        "filter cannot be 'sepia'.",
    )


def test_an_answer_without_a_problem_document_is_still_a_refusal(
    api: StubApi, client: Client
) -> None:
    """A proxy's error page becomes a code made of its status."""
    api.script.append((502, {}, {}))
    with pytest.raises(ApiRefused) as caught:
        client.create_workload()
    assert (caught.value.code, caught.value.status) == ("http_502", 502)


def test_an_answer_of_something_else_is_not_taken(api: StubApi, client: Client) -> None:
    """JSON without the expected members raises ``UnexpectedAnswer``."""
    api.script.append((200, {}, {"hello": "world"}))
    with pytest.raises(UnexpectedAnswer, match="workload_id"):
        client.create_workload()


@pytest.mark.parametrize("url", ["127.0.0.1", "http://127.0.0.1", "localhost"])
def test_an_api_that_never_answered_is_not_waited_for(url: str) -> None:
    """A wrong address fails at once, in one sentence."""
    with (
        Client(f"{url}:{unused_port()}") as client,
        pytest.raises(ApiUnreachable, match=r"cannot be reached: connection refused\.$"),
    ):
        client.login("someone", "secret")


def test_an_api_that_was_given_up_is_not_waited_for_again(
    api: StubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each next request fails at once, so that whoever gives up a batch is not held up twice."""
    with serving(api) as url:
        client = Client(url, token=api.token)
        client.upload("w1", b"picture")
    with client:
        monkeypatch.setattr(transport, "_PATIENCE_SECONDS", 0.0)
        with pytest.raises(ApiUnreachable):
            client.remove_workload("w1")
        monkeypatch.setattr(transport, "_PATIENCE_SECONDS", math.inf)
        with pytest.raises(ApiUnreachable):
            client.remove_workload("w1")


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port"])
def test_a_wrong_url_is_named(url: str) -> None:
    """What is no URL of an API cannot be reached."""
    with pytest.raises(ApiUnreachable, match="URL"):
        Client(url)


def test_an_api_below_a_path_is_found(api: StubApi) -> None:
    """The path of the URL comes before every endpoint, for an API behind a proxy."""
    with (
        serving(api) as url,
        Client(f"{url}/images/", token=api.token) as client,
        pytest.raises(ApiRefused),
    ):
        client.workload("w1")
    assert api.requests == [("GET", "/images/workloads/w1")]


class Unseekable(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readall(self) -> bytes:
        return self._content.read()

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 5_000_000])
@pytest.mark.parametrize("kind", ["path", "bytes", "stream", "pipe"])
def test_an_upload_arrives_whole(
    api: StubApi, client: Client, tmp_path: Path, size: int, kind: str
) -> None:
    """Files, bytes and streams of any size arrive byte for byte, as does the file's name."""
    content = os.urandom(size)
    file = tmp_path / 'a "picture" é.png'
    file.write_bytes(content)
    picture: Path | bytes | BinaryIO = content
    if kind == "path":
        picture = file
    elif kind == "stream":
        picture = io.BytesIO(b"skipped" + content)
        picture.seek(7)
    elif kind == "pipe":
        picture = cast("BinaryIO", Unseekable(content))
    image_id = client.upload("w1", picture)
    assert api.images[image_id] == content
    assert api.filenames == ["a %22picture%22 é.png" if kind == "path" else "picture"]


@pytest.mark.parametrize("status", [429, 503])
def test_an_upload_comes_back_when_it_is_told_to(api: StubApi, client: Client, status: int) -> None:
    """A picture that is turned away for now is sent again, from its start."""
    api.script.append((status, {"Retry-After": "0"}, {"code": "later", "detail": "Later."}))
    image_id = client.upload("w1", io.BytesIO(b"picture" * 500_000))
    assert api.images[image_id] == b"picture" * 500_000
    assert api.requests == [("POST", "/images")] * 2


def test_nobody_waits_longer_than_it_makes_sense(api: StubApi, client: Client) -> None:
    """A ``Retry-After`` beyond the client's patience is an error now, not then."""
    api.script.append((429, {"Retry-After": "3600"}, {"code": "slow_down", "detail": "Later."}))
    with pytest.raises(ApiRefused) as caught:
        client.upload("w1", b"picture")
    assert caught.value.code == "slow_down"


def test_an_upload_is_repeated_when_the_connection_breaks(api: StubApi, client: Client) -> None:
    """It has a key by which the server knows it again, and another upload has another."""
    client.upload("w1", b"first")
    api.script.append((0, {}, {}))
    client.upload("w1", b"second")
    assert api.requests == [("POST", "/images")] * 3
    first, second, again = api.keys
    assert second == again != first


class Shrinking(io.BytesIO):
    """A file of which less is there than was at first."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size)[:-1]


def test_a_file_that_shrinks_is_no_lost_connection(api: StubApi, client: Client) -> None:
    """It is said what is wrong with it, and not tried again."""
    with pytest.raises(OSError, match="shrank"):
        client.upload("w1", Shrinking(b"picture"))
    assert api.images == {}


def test_a_workload_is_not_created_twice(api: StubApi, client: Client) -> None:
    """A request without a key is not repeated: the server may have served it."""
    client.upload("w1", b"first")
    api.script.append((0, {}, {}))
    with pytest.raises(ApiUnreachable):
        client.create_workload()
    assert api.requests == [("POST", "/images"), ("POST", "/workloads")]


def test_a_get_is_repeated_when_the_connection_breaks(api: StubApi, client: Client) -> None:
    """Reading twice does no harm, so a broken connection is not noticed."""
    image_id = client.upload("w1", b"abc")
    api.script.append((0, {}, {}))
    assert client.download(f"f-{image_id}") == b"cba"


def test_a_server_that_comes_back_is_found_again(api: StubApi) -> None:
    """An upload to a server that is being restarted waits for it."""
    port = unused_port()
    with serving(api, port) as url:
        client = Client(url, token=api.token)
        client.create_workload()
    refused = threading.Event()
    unwatched = Transport._worth_repeating

    def watched(self: Transport, method: str, error: Exception) -> bool:
        refused.set()
        return unwatched(self, method, error)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(Transport, "_worth_repeating", watched)
        upload = pool.submit(client.upload, "w1", b"picture")
        assert refused.wait(10)
        with serving(api, port):
            assert api.images[upload.result(20)] == b"picture"
    client.close()


def test_closing_ends_the_wait_for_another_try(api: StubApi, client: Client) -> None:
    """A client that is closed does not hold up whoever waits in it."""
    api.script.append((503, {"Retry-After": "20"}, {"code": "busy", "detail": "Busy."}))
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(client.upload, "w1", b"picture")
        client.close()
        with pytest.raises((ApiRefused, ApiUnreachable)):
            upload.result(10)


def test_a_download_replaces_its_target(client: Client, tmp_path: Path) -> None:
    """The target holds the picture, and nothing else is left in its folder."""
    image_id = client.upload("w1", b"abc" * 1_000_000)
    target = tmp_path / ("n" * 250 + ".png")
    target.write_bytes(b"old")
    assert client.download(f"f-{image_id}", target) is None
    assert target.read_bytes() == b"cba" * 1_000_000
    assert list(tmp_path.iterdir()) == [target]


def test_a_download_that_breaks_off_starts_again(
    api: StubApi, client: Client, tmp_path: Path
) -> None:
    """Half a picture is never taken for a whole one."""
    image_id = client.upload("w1", b"abcdef")
    api.truncate_downloads = 1
    client.download(f"f-{image_id}", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"fedcba"


def test_a_download_that_fails_leaves_nothing(client: Client, tmp_path: Path) -> None:
    """Neither target nor partial file is there afterwards."""
    with pytest.raises(ApiRefused):
        client.download("missing", tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_workload_is_followed_result_by_result(api: StubApi, client: Client) -> None:
    """Each result comes once and in order, also those that settle while one waits."""
    client.upload("w1", b"one")
    results = client.follow("w1", 2)
    first = next(results)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, results)
        client.upload("w1", b"bad")
        second = waiting.result(10)
    assert (first.position, first.image_id, first.filtered_image_id) == (1, "i0", "f-i0")
    assert (second.position, second.status, second.code) == (2, "failed", "decode_failed")
    assert list(results) == []


@pytest.mark.parametrize("count", [0, 1, 100, 250])
def test_all_workloads_are_listed(api: StubApi, client: Client, count: int) -> None:
    """Each is there once, however many pages they fill."""
    api.workload_count = count
    ids = [workload.id for workload in client.workloads()]
    assert ids == [f"w{number:03}" for number in range(count, 0, -1)]
