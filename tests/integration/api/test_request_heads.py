"""A request that could be read in two ways is refused by the real server, over a plain socket."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.integration.api.system import ApiSession, System

GET = b"GET /healthz HTTP/1.1\r\n"
POST = b"POST /login HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EMPTY_CHUNKS = b"\r\n0\r\n\r\n"


def converse(system: System, sent: bytes) -> list[tuple[int, bytes]]:
    """Send it, and return status and body of each answer until the server ends the connection."""
    address = urlsplit(system.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(sent)
        received = connection.makefile("rb")
        answers = []
        while line := received.readline():
            length = 0
            while (header := received.readline()) != b"\r\n":
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            answers.append((int(line.split()[1]), received.read(length)))
    return answers


def with_token(session: ApiSession) -> bytes:
    return f"Authorization: {session.headers['Authorization']!s}\r\n".encode()


LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Ends the connection when it is answered."""


@pytest.mark.parametrize(
    "sent",
    [
        GET + HOST + b"\r\n",
        GET + b"Host: a.example:8080\r\n\r\n",
        GET + b"Host: a.example \t\r\n\r\n",
        GET + b"Host: [::1]:8080\r\n\r\n",
        GET + b"HOST: %61.example\r\n\r\n",
        b"GET http://other.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET HTTPS://x:1/healthz?a=b HTTP/1.1\r\n" + HOST + b"\r\n",
        GET + HOST + b"Transfer-Encoding: ChunkeD\r\n" + EMPTY_CHUNKS,
        GET + HOST + CHUNKED + b"\r\n1;a=b\r\nx\r\n0\r\nX-Trailer: y\r\n\r\n",
    ],
)
def test_a_request_that_says_one_thing_is_answered(system: System, sent: bytes) -> None:
    """And so is the one behind it on the connection."""
    assert [status for status, _ in converse(system, sent + LAST)] == [200, 200]


@pytest.mark.parametrize("headers", [b"", HOST])
def test_http_1_0_needs_no_host(system: System, headers: bytes) -> None:
    """It came before Host did."""
    sent = b"GET /healthz HTTP/1.0\r\n" + headers + b"\r\n"
    assert [status for status, _ in converse(system, sent)] == [200]


@pytest.mark.parametrize(
    "sent",
    [
        # Host
        GET + b"\r\n",
        GET + b"Host: a\r\nHost: a\r\n\r\n",
        GET + b"Host: a\r\nX: y\r\nhost: b\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        *(
            GET + b"Host: " + value + b"\r\n\r\n"
            for value in (b"", b"a b", b"a, b", b"a/b", b"u@a", b"a:b", b"a:1:2", b"[::1", b"%zz")
        ),
        GET + CHUNKED + b"\r\n0\r\nHost: x\r\n\r\n",
        # Target
        b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET ftp://x/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http:///healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://u:p@x/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://x/healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz#x HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz x HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        # Method and version
        b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"G@T /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        *(
            b"GET /healthz" + version + b"\r\n" + HOST + b"\r\n"
            for version in (b"", b" HTTP/0.9", b" HTTP/1.2", b" HTTP/2.0", b" http/1.1")
        ),
        # Lines
        GET + HOST + b"X: a\r\n b\r\n\r\n",
        GET + b"Host:\r\n x\r\n\r\n",
        GET + b" X: a\r\n" + HOST + b"\r\n",
        GET + HOST + b"X: a\rb\r\n\r\n",
        GET + HOST + b"X: a\rY: b\r\n\r\n",
        GET + b"Host: x\nX: y\r\n\r\n",
        GET + b"Host : x\r\n\r\n",
        GET + HOST + b": y\r\n\r\n",
        GET + HOST + b"X y: z\r\n\r\n",
        GET + HOST + b"X: a\0b\r\n\r\n",
        # Fields that have one value
        GET + HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        POST + HOST + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n",
        # Where the body ends
        POST + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        POST + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        *(
            POST + HOST + b"Content-Length: " + value + b"\r\n\r\nx"
            for value in (b"", b"1, 1", b"+1", b"-1", b"0x1", b"1 1", b"9" * 30)
        ),
        POST + HOST + b"Content-Length : 1\r\n\r\nx",
        POST + HOST + b"Content-Length: 1\r\n" + CHUNKED + EMPTY_CHUNKS,
        POST + HOST + CHUNKED + b"Content-Length: 1\r\n" + EMPTY_CHUNKS,
        POST + HOST + CHUNKED + CHUNKED + EMPTY_CHUNKS,
        b"POST /login HTTP/1.0\r\n" + HOST + CHUNKED + EMPTY_CHUNKS,
        *(
            POST + HOST + b"Transfer-Encoding: " + value + b"\r\n" + EMPTY_CHUNKS
            for value in (
                b"",
                b"gzip",
                b"gzip, chunked",
                b"chunked, gzip",
                b"xchunked",
                b"\vchunked",
            )
        ),
        # Chunks
        *(
            GET + HOST + CHUNKED + b"\r\n" + chunks
            for chunks in (b"0x1\r\nx\r\n0\r\n\r\n", b"1\nx\n0\n\n", b"1\r\nxy\r\n0\r\n\r\n")
        ),
        GET + HOST + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\nx\r\n0\r\n\r\n",
        # Trailers about the message
        *(
            GET + HOST + CHUNKED + b"\r\n0\r\n" + trailer + b"\r\n\r\n"
            for trailer in (
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b"Connection: close",
                b"Upgrade: h2c",
                b"Host: y",
            )
        ),
    ],
)
def test_an_ambiguous_request_is_refused(system: System, sent: bytes) -> None:
    """With a problem document, as the only answer on the connection."""
    ((status, body),) = converse(system, sent + LAST)
    document = json.loads(body)
    assert (status, document["status"], document["code"]) == (400, 400, "malformed_request")


def test_a_trailer_lets_nobody_in(system: System, user: ApiSession) -> None:
    """A token behind the body is no token, whether or not all comes at once."""
    for method, body in ((b"GET /status", b"0\r\n"), (b"POST /workloads", b"2\r\n{}\r\n0\r\n")):
        head = method + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n" + CHUNKED
        sent = head + b"\r\n" + body + with_token(user) + b"\r\n"
        assert [status for status, _ in converse(system, sent + LAST)] == [401, 200]
        sent = head + with_token(user) + b"\r\n" + body + b"\r\n"
        assert converse(system, sent + LAST)[0][0] in (200, 201)


def test_a_trailer_changes_nothing_of_its_request(system: System, user: ApiSession) -> None:
    """It asks for no part, sets no condition, and waits for no leave."""
    image_id = user.upload(user.create_workload())
    etag = user.get(f"/images/{image_id}").headers["ETag"]
    get = f"GET /images/{image_id} HTTP/1.1\r\n".encode() + HOST + with_token(user)
    for trailer in ("Range: bytes=0-1", f"If-None-Match: {etag}", "Expect: 100-continue"):
        sent = get + CHUNKED + b"\r\n0\r\n" + trailer.encode() + b"\r\n\r\n"
        assert [status for status, _ in converse(system, sent + LAST)] == [200, 200]


def test_a_request_for_another_protocol_ends_the_connection(system: System) -> None:
    """It is answered in this one, and what follows is not taken for a request."""
    upgrade = GET + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert [status for status, _ in converse(system, upgrade + LAST)] == [200]
