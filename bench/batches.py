"""How many small pictures a worker gets done in a second, given one by one and in batches.

    PYTHONPATH=. python bench/batches.py [SECONDS]

A worker of two slots, in a process of its own, takes calls over a real message-passing server. The
images come from a stub of the API that keeps nothing, so that the worker's side is measured alone;
``UPLOAD_SECONDS`` is how long it takes for a result. Two batches are in hand at a time, and of
single jobs as many as the worker has slots and fetches ahead.
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import psutil
import pyvips
import structlog
from aiohttp import web
from tests.nats import JOIN_SECRET, PATIENCE, Received, message_server, part_of

from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.wire import subjects
from dpip.wire.codec import decode, decode_either, encode
from dpip.wire.messages import (
    Accepted,
    Acknowledged,
    Outcome,
    OutcomeKind,
    Refusal,
    Run,
    RunBatch,
    Welcome,
)
from dpip.wire.nats_bus import NatsBus
from dpip.wire.subjects import Speaker
from dpip.worker.agent import Agent, AgentSettings
from dpip.worker.identity import Identity
from dpip.worker.workshop import Workshop

SLOTS, PREFETCH = 2, 1
SPEAKER = Speaker("w", "i")
PIPELINE = encode_pipeline(parse_pipeline("grayscale"))
BATCHES = (1, 32)


def main() -> None:
    """Measure, or be the worker that is measured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(work(sys.argv[2]))
    else:
        asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))


async def work(server: str) -> None:
    """Be a worker until killed."""
    identity = Identity("w", lambda: JOIN_SECRET)
    identity.speaker = SPEAKER
    bus = NatsBus(
        server,
        user=f"{JOIN_SECRET.id}.{SPEAKER.worker}.{SPEAKER.instance}",
        password=JOIN_SECRET.secret,
        inbox=subjects.inbox(*SPEAKER),
        name="worker",
    )
    settings = AgentSettings(
        tags=(), slots=SLOTS, prefetch=PREFETCH, drain_seconds=1, controller_host="127.0.0.1"
    )
    with tempfile.TemporaryDirectory() as scratch:
        workshop = Workshop(SLOTS, PREFETCH, Path(scratch))
        await workshop.open()
        await bus.open()
        await Agent(bus, workshop, identity, settings).start()
        await asyncio.Event().wait()


class Caller:
    """Gives the worker jobs, always as many as it has room for."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._sent = 0
        self._done = 0
        self._ended = asyncio.Condition()

    async def on_outcome(self, subject: str, payload: bytes) -> bytes:
        """Count it."""
        outcome = decode(payload, Outcome, subject)
        if outcome.kind is not OutcomeKind.DONE:
            raise RuntimeError(f"not done: {outcome}")
        async with self._ended:
            self._done += 1
            self._ended.notify_all()
        return encode(Acknowledged())

    async def call(self, size: int) -> None:
        """Send a batch."""
        runs = tuple(a_run(self._sent + number) for number in range(size))
        self._sent += size
        subject = subjects.run(*SPEAKER)
        answer = await self._bus.request(subject, encode(RunBatch(runs=runs)), PATIENCE)
        answered = decode_either(answer, Accepted, Refusal, subject)
        if isinstance(answered, Refusal) or len(answered.attempts) < size:
            raise RuntimeError(f"not all were taken: {answered}")

    async def keep_busy(self, size: int, most: int, seconds: float) -> tuple[int, float]:
        """Call for so long; the number of jobs done and the seconds that they took."""
        clock = asyncio.get_running_loop().time
        before, begin = self._sent, clock()
        while clock() < begin + seconds:
            await self._until_in_hand(most - size)
            await self.call(size)
        await self._until_in_hand(0)
        return self._sent - before, clock() - begin

    async def _until_in_hand(self, most: int) -> None:
        async with self._ended:
            await self._ended.wait_for(lambda: self._sent - self._done <= most)


def a_run(number: int) -> Run:
    """One of a small picture."""
    return Run(
        job_id=f"job-{number:022}",
        attempt=1,
        workload_id="workload",
        workload_name="holidays",
        image_id="image",
        format=PictureFormat.PNG,
        sha256="00",
        pipeline=PIPELINE,
        memory_limit=1 << 30,
        time_limit=60,
    )


async def measure(seconds: float) -> None:
    """Print a line of JSON for each size of a batch."""
    with tempfile.TemporaryDirectory() as directory:
        async with message_server(Path(directory)) as server, part_of(server) as bus:
            endpoint = await stub_of_the_api()
            welcome = Welcome(
                image_store_endpoint=endpoint,
                image_store_token="",  # nosec B106 # the stub asks for none
                heartbeat_seconds=1,
            )
            hellos = Received(encode(welcome))
            caller = Caller(bus)
            await bus.subscribe(subjects.HELLOS, hellos)
            await bus.subscribe(subjects.OUTCOMES, caller.on_outcome)
            worker = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "worker", server.url
            )
            try:
                await hellos.next()
                await asyncio.sleep(0.5)
                await caller.keep_busy(1, SLOTS + PREFETCH, 1)
                for size in BATCHES:
                    await measure_batches(caller, size, seconds, worker.pid)
            finally:
                worker.terminate()
                await worker.wait()


async def measure_batches(caller: Caller, size: int, seconds: float, worker: int) -> None:
    """Print what a worker does with batches of ``size``."""
    most = SLOTS + PREFETCH if size == 1 else 2 * size
    agent = psutil.Process(worker)
    servers = [p for p in psutil.Process().children() if "nats-server" in p.name()]
    parts = {
        "agent": [agent],
        "children": agent.children(),
        "nats": servers,
        "caller_and_stub": [psutil.Process()],
    }
    before = {name: cpu_of(part) for name, part in parts.items()}
    jobs, seconds = await caller.keep_busy(size, most, seconds)
    spent = {
        f"{name}_cpu_us": round((cpu_of(part) - before[name]) / jobs * 1e6)
        for name, part in parts.items()
    }
    print(
        json.dumps({"batch": size, "jobs_per_second": round(jobs / seconds), **spent}), flush=True
    )


def cpu_of(processes: list[psutil.Process]) -> float:
    """CPU seconds that they have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def stub_of_the_api() -> str:
    """Serve one small picture, take every result; returns the address."""
    picture = pyvips.Image.black(16, 16, bands=3).pngsave_buffer()
    delay = float(os.environ.get("UPLOAD_SECONDS", "0"))

    async def original(_request: web.Request) -> web.Response:
        return web.Response(body=picture, content_type="image/png")

    async def result(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(delay)
        return web.json_response({}, status=201)

    app = web.Application()
    app.router.add_get("/images/{id}", original)
    app.router.add_post("/images", result)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


if __name__ == "__main__":
    main()
