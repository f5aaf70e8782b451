"""Quotas hold for all APIs on one database together, on each kind of database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import requests

from dpip.api.app import create_app
from dpip.api.server import listen, serve
from dpip.controller.datastore import SqlDatastore
from dpip.controller.image_directories import ImageDirectories
from dpip.model.ids import new_id
from dpip.model.quota import QuotaLimits
from dpip.model.user import Role, User
from dpip.ports.clock import SystemClock
from tests.integration.api.system import (
    HTTP_LIMITS,
    PASSWORD,
    PASSWORD_HASH,
    SETTINGS,
    ApiSession,
    picture,
)
from tests.nats import message_server, part_of
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres"]

BYTES = len(picture())
ANN = User(id=new_id(), name="ann", role=Role.USER, password_hash=PASSWORD_HASH, created_at=0.0)

Start = Callable[[QuotaLimits], Awaitable[list[ApiSession]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dpip.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def start(database_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts two APIs with ``limits``; a session of one user with each."""
    async with AsyncExitStack() as stack:

        async def start(limits: QuotaLimits) -> list[ApiSession]:
            nats = await stack.enter_async_context(message_server(tmp_path))
            urls = []
            for _ in range(2):
                datastore = await SqlDatastore.open(database_url)
                stack.push_async_callback(datastore.close)
                app = create_app(
                    datastore=datastore,
                    images=ImageDirectories(tmp_path / "images"),
                    bus=await stack.enter_async_context(part_of(nats)),
                    clock=SystemClock(),
                    settings=msgspec.structs.replace(SETTINGS, quotas=limits),
                )
                listener = listen("127.0.0.1", 0)
                await stack.enter_async_context(serve(app, listener, HTTP_LIMITS))
                urls.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
            await datastore.add_user(ANN)
            return [await asyncio.to_thread(logged_in, url) for url in urls]

        yield start


def logged_in(url: str) -> ApiSession:
    answer = requests.post(f"{url}/login", auth=(ANN.name, PASSWORD), timeout=60)
    return ApiSession(url, answer.json()["token"])


def send_all(sessions: list[ApiSession], count: int, content: bytes) -> list[requests.Response]:
    """Send a picture ``count`` times, many at once, to each API in turn."""
    workloads = [sessions[0].create_workload() for _ in range(3)]

    def send(number: int) -> requests.Response:
        session = sessions[number % 2]
        return requests.post(
            f"{session.url}/images",
            files={"data": content},
            data={"workload_id": workloads[number % 3]},
            headers={"Authorization": str(session.headers["Authorization"])},
            timeout=60,
        )

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(send, range(count)))


def codes(answers: list[requests.Response]) -> Counter[str]:
    return Counter(
        "taken" if answer.status_code == 201 else answer.json()["code"] for answer in answers
    )


async def test_uploads_a_minute_are_bounded_for_all_apis(start: Start) -> None:
    """As many are taken as one API would take, and each API says when there is room again."""
    sessions = await start(QuotaLimits(uploads_a_minute=20))
    answers = await asyncio.to_thread(send_all, sessions, 60, picture())
    assert codes(answers) == {"taken": 20, "too_many_requests": 40}
    waits = [int(each.headers["Retry-After"]) for each in answers if each.status_code == 429]
    assert all(0 < wait <= 60 for wait in waits)


async def test_as_many_uploads_as_may_be_are_all_taken(start: Start) -> None:
    """Also side by side: none is counted twice while it is on its way in."""
    sessions = await start(QuotaLimits(uploads_a_minute=20))
    assert codes(await asyncio.to_thread(send_all, sessions, 20, picture())) == {"taken": 20}


async def test_refused_pictures_count_for_all_apis(start: Start) -> None:
    """What is no picture is one of those that a user may send in a minute."""
    sessions = await start(QuotaLimits(uploads_a_minute=5))
    first = await asyncio.to_thread(send_all, sessions[:1] * 2, 5, b"no picture")
    then = await asyncio.to_thread(send_all, sessions[1:] * 2, 3, picture())
    assert codes(first) == {"unsupported_picture": 5}
    assert codes(then) == {"too_many_requests": 3}


async def test_stored_bytes_are_bounded_for_all_apis(start: Start) -> None:
    """Though each API sees only its own pictures on their way in."""
    sessions = await start(QuotaLimits(stored_bytes=5 * BYTES + 1))
    answers = await asyncio.to_thread(send_all, sessions, 40, picture())
    assert set(codes(answers)) == {"taken", "quota_exceeded"}
    rest = [await asyncio.to_thread(send_all, sessions, 1, picture()) for _ in range(6)]
    assert codes(answers)["taken"] + sum(codes(each)["taken"] for each in rest) == 5


async def test_pending_jobs_are_bounded_for_all_apis(start: Start) -> None:
    """As many wait as may, and no more."""
    sessions = await start(QuotaLimits(pending_jobs=7))
    answers = await asyncio.to_thread(send_all, sessions, 40, picture())
    assert codes(answers) == {"taken": 7, "too_busy": 33}
