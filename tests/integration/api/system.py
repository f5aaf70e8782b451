"""The real API on a real socket, with the real datastore, image directories and NATS."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyvips
import requests
from fastapi import FastAPI

from dpip.api.app import create_app
from dpip.api.passwords import hash_password
from dpip.api.server import listen, serve
from dpip.api.settings import ApiSettings, HttpLimits
from dpip.controller.datastore import SqlDatastore
from dpip.controller.image_directories import ImageDirectories
from dpip.model.ids import new_id
from dpip.model.job import Lease
from dpip.model.user import Role, User
from dpip.model.worker import Resources, Worker, WorkerState
from dpip.ports.clock import SystemClock
from tests.contract.builders import NO_TERM, build_placement
from tests.nats import message_server, part_of

T = TypeVar("T")

PASSWORD = "correct horse"
PASSWORD_HASH = hash_password(PASSWORD)
SETTINGS = ApiSettings(
    system_name="Test system",
    login_hours=1,
    upload_bytes=1 << 20,
    pixels=10_000,
    channels=8,
    animation_bytes=20_000,
    pending_jobs=100_000,
    incoming_bytes=1 << 30,
)

HTTP_LIMITS = HttpLimits(
    header_seconds=60,
    body_seconds=60,
    request_seconds=60,
    idle_seconds=60,
    least_bytes_a_second=1,
    header_bytes=1 << 15,
    headers=100,
    connections=1000,
    trusted_proxies="",
)


def wait_until(holds: Callable[[], object]) -> None:
    """Return as soon as ``holds``; fail if that takes too long."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def picture(width: int = 4, height: int = 3, suffix: str = ".png") -> bytes:
    content: bytes = pyvips.Image.black(width, height, bands=3).write_to_buffer(suffix)
    return content


class ApiSession(requests.Session):
    """A session that knows where the API is."""

    def __init__(self, url: str, token: str | None = None) -> None:
        super().__init__()
        self.url = url
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str | bytes, url: str | bytes, **options: Any) -> requests.Response:  # type: ignore[override]
        assert isinstance(url, str)
        return super().request(method, self.url + url, timeout=60, **options)

    def create_workload(self, **fields: object) -> str:
        answer = self.post("/workloads", json=fields)
        assert answer.status_code == 201, answer.text
        workload_id: str = answer.json()["workload_id"]
        return workload_id

    def upload(self, workload_id: str, content: bytes | None = None) -> str:
        answer = self.post(
            "/images",
            files={"data": picture() if content is None else content},
            data={"workload_id": workload_id},
        )
        assert answer.status_code == 201, answer.text
        image_id: str = answer.json()["image_id"]
        return image_id

    def hand_in(
        self, workload_id: str, lease: Lease, content: bytes | None = None, /, **changes: object
    ) -> requests.Response:
        """Upload a result as a worker does, but for ``changes`` of its fields."""
        result = picture() if content is None else content
        fields: dict[str, object] = {
            "workload_id": workload_id,
            "type": "filtered",
            "job_id": lease.job_id,
            "attempt": lease.attempt,
            "milliseconds": 2.5,
            "sha256": hashlib.sha256(result).hexdigest(),
        }
        return self.post("/images", files={"data": result}, data=fields | changes)


@dataclass
class System:
    """Everything behind the API, in an event loop of its own."""

    loop: asyncio.AbstractEventLoop
    app: FastAPI
    url: str
    datastore: SqlDatastore
    data_dir: Path

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` where the API runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def user(self, role: Role = Role.USER) -> ApiSession:
        """Add a user and log in."""
        name = self.add_user(role)
        answer = requests.post(f"{self.url}/login", auth=(name, PASSWORD), timeout=60)
        return ApiSession(self.url, answer.json()["token"])

    def add_user(self, role: Role = Role.USER) -> str:
        user_id = new_id()
        user = User(
            id=user_id,
            name=f"user-{user_id}",
            role=role,
            password_hash=PASSWORD_HASH,
            created_at=SystemClock().now(),
        )
        self.do(self.datastore.add_user(user))
        return user.name

    def worker(self) -> tuple[str, ApiSession]:
        """Add a worker; its name, and a session with its token."""
        name, token, now = f"worker-{new_id()}", secrets.token_urlsafe(32), SystemClock().now()
        worker = Worker(
            name=name,
            instance=new_id(),
            tags=("fast",),
            slots=2,
            prefetch=1,
            state=WorkerState.ALIVE,
            resources=Resources(cpu=0.5, cores=2, memory_total=8, memory_available=4),
            running=1,
            joined_at=now,
            last_seen=now,
        )
        self.do(self.datastore.add_worker(worker))
        token_hash = hashlib.sha256(token.encode()).hexdigest()
        self.do(self.datastore.add_worker_token(token_hash, worker=name, created_at=now))
        return name, ApiSession(self.url, token)

    def lease(self, image_id: str, worker: str) -> Lease:
        """Give the job of an original to a worker."""
        job = self.do(self.datastore.job_of_image(image_id))
        assert job is not None
        placement = build_placement(job.id, worker)
        return self.do(self.datastore.lease([placement], term=NO_TERM))[0]

    def somebody_waits_for(self, workload_id: str) -> bool:
        """Whether a long poll for results of a workload is open."""
        return workload_id in self.app.state.context.feed._waiting

    def files(self) -> set[Path]:
        """Every picture that the image store has, staged ones too."""
        found = (self.data_dir / "images").rglob("*")
        return {path for path in found if path.is_file() and path.name[0] != "."}


@asynccontextmanager
async def _system(data_dir: Path) -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(message_server(data_dir))
        bus = await stack.enter_async_context(part_of(nats))
        datastore = await SqlDatastore.open(f"sqlite:///{data_dir}/dpip.sqlite3")
        stack.push_async_callback(datastore.close)
        app = create_app(
            datastore=datastore,
            images=ImageDirectories(data_dir / "images"),
            bus=bus,
            clock=SystemClock(),
            settings=SETTINGS,
        )
        listener = listen("127.0.0.1", 0)
        await stack.enter_async_context(serve(app, listener, HTTP_LIMITS))
        yield System(
            loop=asyncio.get_running_loop(),
            app=app,
            url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            datastore=datastore,
            data_dir=data_dir,
        )


@contextmanager
def running_system(data_dir: Path) -> Iterator[System]:
    """Run a system for the length of the block."""
    started: Future[System] = Future()
    stopping = asyncio.Event()

    async def run() -> None:
        async with _system(data_dir) as system:
            started.set_result(system)
            await stopping.wait()

    with ThreadPoolExecutor(max_workers=1) as executor:
        ended = executor.submit(asyncio.run, run())
        ended.add_done_callback(lambda _: started.done() or started.cancel())
        try:
            system = started.result(60)
        except CancelledError:
            ended.result()
            raise
        try:
            yield system
        finally:
            system.loop.call_soon_threadsafe(stopping.set)
            ended.result(60)
