"""The server keeps its promises about ports, signals and its end."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import requests
from fastapi import FastAPI, Request

from dpip.api.server import listen, serve
from dpip.errors import CannotStart
from tests.integration.api.system import HTTP_LIMITS, running_system, wait_until


def test_a_port_in_use_is_named() -> None:
    """The error says which port it is and what to do about it."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"port {port} .*--port"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    """An address that cannot be had is an error that says so."""
    with pytest.raises(CannotStart, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)


async def test_signals_are_left_to_the_owner() -> None:
    """The handlers of the process are the same while the server runs."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    listener = listen("127.0.0.1", 0)
    app = FastAPI()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/openapi.json"
    async with serve(app, listener, HTTP_LIMITS):
        assert (await asyncio.to_thread(requests.get, url, timeout=60)).status_code == 200
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_a_running_request_is_finished() -> None:
    """A request that runs when the server is stopped gets its answer."""
    app = FastAPI()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/slow"
    async with serve(app, listener, HTTP_LIMITS):
        request = asyncio.create_task(asyncio.to_thread(requests.get, url, timeout=60))
        await begun.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
    assert (await request).json() == "done"


@pytest.mark.parametrize(("trusted", "seen"), [("", "127.0.0.1"), ("127.0.0.1", "192.0.2.7")])
async def test_a_proxy_is_believed_only_if_it_is_named(trusted: str, seen: str) -> None:
    """Who throttles by address has to know it, and anybody can write the header."""
    app = FastAPI()

    @app.get("/me")
    async def me(request: Request) -> str:
        return request.client.host if request.client else ""

    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/me"
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    limits = msgspec.structs.replace(HTTP_LIMITS, trusted_proxies=trusted)
    async with serve(app, listener, limits):
        answer = await asyncio.to_thread(requests.get, url, headers=forwarded, timeout=60)
    assert answer.json() == seen


async def test_slow_clients_are_cut_off_by_a_server_that_goes_on() -> None:
    """Silent, slow and half-closed connections end, and others are answered meanwhile."""
    app = FastAPI()
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    limits = msgspec.structs.replace(HTTP_LIMITS, header_seconds=0.1, body_seconds=0.1)
    upload = b"POST /openapi.json HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    async with serve(app, listener, limits):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        for number, (_, writer) in enumerate(held):
            writer.write((b"", b"GET / HTTP/1.1\r\nHost:", upload)[number % 3])
            if number % 2:
                writer.write_eof()
        url = f"http://127.0.0.1:{port}/openapi.json"
        assert (await asyncio.to_thread(requests.get, url, timeout=60)).status_code == 200
        for number, (reader, writer) in enumerate(held):
            answer = await reader.read()
            if not number % 2:
                assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 405 "))
            writer.close()


def test_a_long_poll_is_answered_at_the_end(tmp_path: Path) -> None:
    """Whoever waits for results when the API stops is told that there are none yet."""
    with ThreadPoolExecutor() as executor:
        with running_system(tmp_path) as system:
            user = system.user()
            workload = user.create_workload()
            poll = executor.submit(user.get, f"/workloads/{workload}/results?wait=30")
            wait_until(lambda: system.somebody_waits_for(workload))
        assert poll.result(20).json() == {"results": [], "next": 0}
