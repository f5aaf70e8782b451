"""What a client may send on a connection, and how long it may take, by a clock that tests set."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from dpip.api.http_protocol import BoundedHttpProtocol
from dpip.api.settings import HttpLimits
from dpip.api.unsent_answers import UnsentAnswers

LIMITS = HttpLimits(
    header_seconds=5,
    body_seconds=100,
    request_seconds=300,
    idle_seconds=60,
    least_bytes_a_second=100,
    header_bytes=1000,
    headers=10,
    connections=2,
    trusted_proxies="",
)
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
REQUEST = HEAD + b"\r\n"
UPLOAD = HEAD + b"Content-Length: 1000000\r\n\r\n"


class FakeTransport(asyncio.Transport):
    """A connection whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.reader: BoundedHttpProtocol | None = None
        """Whose client reads nothing, once it is told of: what it takes stays unsent."""
        self.closing = self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data
        if self.reader:
            self.unsent += len(data)
            if self.unsent > self.high:
                self.reader.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    @property
    def code(self) -> str:
        """The code of the problem document that was answered, and then the connection closed."""
        assert self.closing
        head, _, body = self.written.partition(b"\r\n\r\n")
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        assert b"\r\nconnection: close" in head
        document = json.loads(body)
        assert head.startswith(f"HTTP/1.1 {document['status']} ".encode())
        code: str = document["code"]
        return code


class App:
    """Takes a request in once it may, and answers once it may."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may_read.wait()
        while (await receive()).get("more_body"):
            pass
        await self.may_answer.wait()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
        )
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await self.may_finish.wait()
        await send({"type": "http.response.body", "body": b"k"})


@pytest.fixture
async def app() -> App:
    return App()


class Download:
    """Answers with blocks for as long as they are taken."""

    def __init__(self, *blocks: int, last: int = 1) -> None:
        self._blocks = blocks
        self._last = last
        self.read = 0
        """Blocks that were begun."""
        self.has_ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for size in self._blocks:
                self.read += 1
                await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
            await send({"type": "http.response.body", "body": bytes(self._last)})
        finally:
            self.has_ended = True


class Connections:
    """Makes connections to one server."""

    def __init__(self, app: App | Download, limits: HttpLimits = LIMITS) -> None:
        self._config = uvicorn.Config(app, log_config=None, lifespan="off")
        self._config.load()
        self._state = ServerState()
        self._limits = limits
        self.unsent = UnsentAnswers()

    def open(self) -> tuple[BoundedHttpProtocol, FakeTransport]:
        protocol = BoundedHttpProtocol(
            limits=self._limits,
            unsent=self.unsent,
            config=self._config,
            server_state=self._state,
            app_state={},
        )
        transport = FakeTransport()
        protocol.connection_made(transport)
        return protocol, transport


@pytest.fixture
async def connections(app: App) -> Connections:
    return Connections(app)


async def settle() -> None:
    """Let the application go on as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("sent", [b"", b"POST", b"\r\n\r\n", HEAD, HEAD + b"A: "])
async def test_headers_have_a_deadline(connections: Connections, sent: bytes) -> None:
    """A client that has said nothing, or not all, is told so and cut off."""
    protocol, transport = connections.open()
    if sent:
        protocol.data_received(sent)
    protocol.count(5)
    assert not transport.closing
    protocol.count(0.1)
    assert transport.code == "request_timeout"
    assert b"http.header_seconds" in transport.written


async def test_more_bytes_do_not_put_off_the_deadline(connections: Connections) -> None:
    """A header every second is as late as none."""
    protocol, transport = connections.open()
    protocol.data_received(HEAD)
    for _ in range(6):
        assert not transport.closing
        protocol.data_received(b"A: b\r\n")
        protocol.count(1)
    assert transport.code == "request_timeout"


async def test_a_body_has_to_keep_up_a_pace(connections: Connections, app: App) -> None:
    """A client that sends too little in ten seconds is cut off."""
    app.may_read.set()
    protocol, transport = connections.open()
    protocol.data_received(UPLOAD)
    for _ in range(10):
        protocol.data_received(bytes(100))
        protocol.count(1)
    await settle()
    assert not transport.closing
    for _ in range(10):
        protocol.data_received(bytes(99))
        protocol.count(1)
    assert transport.code == "request_timeout"
    assert b"http.least_bytes_a_second" in transport.written


async def test_a_body_has_a_deadline(connections: Connections, app: App) -> None:
    """However well it keeps up its pace."""
    app.may_read.set()
    protocol, transport = connections.open()
    protocol.data_received(UPLOAD)
    for _ in range(101):
        assert not transport.closing
        await settle()
        protocol.data_received(bytes(1000))
        protocol.count(1)
    assert b"http.body_seconds" in transport.written
    assert transport.code == "request_timeout"


async def test_a_server_that_does_not_read_makes_no_client_late(connections: Connections) -> None:
    """While bytes that came in wait for the application, no time is counted for the body."""
    protocol, transport = connections.open()
    protocol.data_received(UPLOAD)
    protocol.data_received(bytes(100_000))
    protocol.count(200)
    assert not transport.closing


async def test_a_client_that_asks_first_may_wait_for_the_answer(
    connections: Connections, app: App
) -> None:
    """Its time begins when it is told to go on."""
    protocol, transport = connections.open()
    protocol.data_received(HEAD + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
    protocol.count(200)
    assert not transport.closing
    app.may_read.set()
    await settle()
    assert transport.written.startswith(b"HTTP/1.1 100 ")
    protocol.count(10)
    assert transport.closing


async def test_each_request_has_its_own_deadline(connections: Connections, app: App) -> None:
    """Also where the next one is there before the answer to the one before."""
    app.may_read.set()
    app.may_answer.set()
    protocol, transport = connections.open()
    for _ in range(3):
        protocol.data_received(REQUEST + REQUEST[:-2])
        protocol.count(5)
        protocol.data_received(b"\r\n")
        protocol.count(150)
        await settle()
        protocol.count(60)
    assert not transport.closing
    assert transport.written.count(b"200 OK") == 6


async def test_a_request_has_a_deadline(connections: Connections, app: App) -> None:
    """An answer that does not come is not waited for without end."""
    app.may_read.set()
    protocol, transport = connections.open()
    protocol.data_received(REQUEST)
    await settle()
    protocol.count(300)
    assert not transport.closing
    protocol.count(1)
    assert transport.code == "request_timeout"
    app.may_answer.set()
    await settle()
    assert b"200 OK" not in transport.written


async def test_an_answer_that_has_begun_is_broken_off(connections: Connections, app: App) -> None:
    """A second answer in the middle of it would be taken for a part of it."""
    app.may_read.set()
    app.may_answer.set()
    app.may_finish.clear()
    protocol, transport = connections.open()
    protocol.data_received(REQUEST)
    await settle()
    assert transport.written.endswith(b"\r\n\r\no")
    protocol.count(301)
    assert transport.aborted
    assert transport.written.endswith(b"\r\n\r\no")


async def test_an_idle_connection_ends(connections: Connections, app: App) -> None:
    """After an answer there is time for another request, and each begins its own deadlines."""
    app.may_read.set()
    app.may_answer.set()
    protocol, transport = connections.open()
    for _ in range(8):
        protocol.data_received(REQUEST)
        await settle()
        protocol.count(60)
        assert not transport.closing
    assert transport.written.count(b"200 OK") == 8
    protocol.count(1)
    assert transport.closing
    assert b"408" not in transport.written


async def test_a_body_after_its_answer_is_still_bounded(connections: Connections, app: App) -> None:
    """An upload that was refused early does not keep its connection by dripping on."""
    app.may_answer.set()
    protocol, transport = connections.open()
    protocol.data_received(UPLOAD)
    assert protocol.cycle
    protocol.cycle.response_complete = True
    protocol.on_response_complete()
    for _ in range(10):
        protocol.data_received(b"x")
        protocol.count(1)
    assert transport.closing


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_client_that_does_not_read_is_cut_off(
    connections: Connections, app: App, is_answered: bool
) -> None:
    """In the middle of an answer and behind its end; one that reads slowly enough is not."""
    app.may_read.set()
    app.may_answer.set()
    if not is_answered:
        app.may_finish.clear()
    protocol, transport = connections.open()
    protocol.data_received(REQUEST)
    await settle()
    if not is_answered:
        protocol.pause_writing()
    transport.unsent = 100_000
    protocol.count(1)
    for _ in range(10):
        transport.unsent -= 1000
        protocol.count(10)
        assert not transport.aborted
    protocol.count(10)
    assert transport.aborted


@pytest.mark.parametrize(
    ("sent", "setting"),
    [
        ([HEAD + b"A: b\r\n" * 11], "http.headers"),
        ([HEAD + b"A: " + bytes([97]) * 1000 + b"\r\n"], "http.header_bytes"),
        ([b"GET /" + bytes([97]) * 1000 + b" HTTP/1.1\r\n"], "http.header_bytes"),
        ([HEAD + b"A: b"] + [bytes([97]) * 100] * 10, "http.header_bytes"),
        ([HEAD] + [b"A" * 100] * 11, "http.header_bytes"),
        ([b"GET /"] + [b"A" * 100] * 11, "http.header_bytes"),
        ([b"\r\n\r\n"] + [b"\r\n" * 50] * 11, "http.header_bytes"),
        (
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 10],
            "http.headers",
        ),
    ],
    ids=["many", "long", "target", "value", "name", "endless target", "nothing", "trailers"],
)
async def test_headers_are_bounded(
    connections: Connections, sent: list[bytes], setting: str
) -> None:
    """In number and in bytes, also while a single one goes on and on."""
    protocol, transport = connections.open()
    for piece in sent:
        if not transport.closing:
            protocol.data_received(piece)
    assert transport.code == "headers_too_large"
    assert setting.encode() in transport.written


async def test_a_body_is_not_counted_as_headers(connections: Connections, app: App) -> None:
    """Whatever pieces it comes in."""
    app.may_read.set()
    app.may_answer.set()
    protocol, transport = connections.open()
    upload = HEAD + b"Content-Length: 5000\r\n\r\n" + bytes(5000)
    for first, last in ((0, 20), (20, 3000), (3000, len(upload))):
        protocol.data_received(upload[first:last])
        await settle()
    protocol.data_received(upload + HEAD)
    await settle()
    assert transport.written.count(b"200 OK") == 2


async def test_what_is_no_http_is_a_problem_document(connections: Connections) -> None:
    """As every other error."""
    protocol, transport = connections.open()
    protocol.data_received(b"nonsense\r\n\r\n")
    assert transport.code == "malformed_request"


async def test_connections_are_bounded(connections: Connections, app: App) -> None:
    """One too many is told when to come back, and there is room again when one has ended."""
    first, _ = connections.open()
    connections.open()
    refused, transport = connections.open()
    assert transport.code == "too_many_connections"
    assert b"\r\nretry-after: " in transport.written
    for protocol in (first, refused):
        protocol.connection_lost(None)
    assert not connections.open()[1].closing


async def test_bounds_are_those_of_the_settings(app: App) -> None:
    """Each can be raised."""
    limits = msgspec.structs.replace(LIMITS, headers=11, header_seconds=6, connections=3)
    connections = Connections(app, limits)
    for _ in range(3):
        protocol, transport = connections.open()
    protocol.data_received(HEAD + b"A: b\r\n" * 10 + b"A: ")
    protocol.count(6)
    assert not transport.closing


KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


def idle_reader(connections: Connections) -> tuple[BoundedHttpProtocol, FakeTransport]:
    """A connection whose client asks and reads nothing."""
    protocol, transport = connections.open()
    transport.reader = protocol
    protocol.data_received(REQUEST)
    return protocol, transport


async def test_no_block_is_read_for_a_client_that_does_not_take_the_last() -> None:
    """So much of a download is held, and no more, however large it is."""
    download = Download(*[128 * KIBIBYTE] * 100)
    connections = Connections(download)
    protocol, transport = idle_reader(connections)
    await settle()
    assert download.read == 1
    assert transport.unsent < 129 * KIBIBYTE
    assert not connections.unsent.held
    transport.unsent = 0
    protocol.resume_writing()
    await settle()
    assert download.read == 2


async def test_a_large_answer_is_given_out_in_pieces() -> None:
    """What waits of it is counted, and all of it arrives."""
    connections = Connections(Download(last=MEBIBYTE))
    protocol, transport = idle_reader(connections)
    await settle()
    assert transport.unsent < 129 * KIBIBYTE
    assert connections.unsent.held == MEBIBYTE - 128 * KIBIBYTE
    for _ in range(8):
        transport.unsent = 0
        protocol.resume_writing()
        await settle()
    assert not connections.unsent.held
    assert transport.written.count(b"\0") == MEBIBYTE


async def test_answers_together_are_bounded() -> None:
    """The connection is cut whose client has read nothing for longest; the others go on."""
    connections = Connections(
        Download(last=40 * MEBIBYTE), msgspec.structs.replace(LIMITS, connections=9)
    )
    first, second, third = (idle_reader(connections) for _ in range(3))
    await settle()
    assert connections.unsent.held < 120 * MEBIBYTE
    protocol, transport = first
    transport.unsent = 0
    protocol.resume_writing()
    await settle()
    fourth = idle_reader(connections)
    await settle()
    assert [each.aborted for _, each in (first, second, third, fourth)] == [
        False,
        True,
        False,
        False,
    ]
    assert connections.unsent.held < 120 * MEBIBYTE
    second[0].connection_lost(None)
    await settle()
    assert connections.unsent.held < 120 * MEBIBYTE


async def test_an_answer_alone_may_have_any_size() -> None:
    """Else it never could be given."""
    connections = Connections(Download(last=200 * MEBIBYTE))
    _, transport = idle_reader(connections)
    await settle()
    assert not transport.aborted


async def test_a_download_ends_with_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing more is read for a client that has gone, nothing stays of it, and it is no error."""
    download = Download(*[128 * KIBIBYTE] * 100)
    connections = Connections(download)
    protocol, transport = idle_reader(connections)
    await settle()
    transport.close()
    protocol.resume_writing()
    await settle()
    assert download.has_ended
    assert download.read == 1
    assert not caplog.records
    protocol.connection_lost(None)
    assert not connections.unsent.held


async def test_requests_that_wait_on_a_connection_are_bounded(connections: Connections) -> None:
    """However many come in at once, before one of them is answered."""
    protocol, transport = connections.open()
    protocol.data_received(REQUEST * 17)
    await settle()
    assert not transport.closing
    protocol.data_received(REQUEST * 10_000)
    assert transport.aborted
    assert len(protocol.pipeline) == 16


async def test_nothing_is_sent_on_a_connection_that_is_lost(
    connections: Connections, app: App
) -> None:
    """Also where a second request waits behind the one that is being answered."""
    app.may_read.set()
    protocol, transport = connections.open()
    protocol.data_received(REQUEST * 2)
    await settle()
    transport.close()
    protocol.connection_lost(None)
    app.may_answer.set()
    await settle()
    assert not transport.written
