"""A worker that says far more than it has to, at a whole controller and a real server."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dpip.controller.controller import Controller, ControllerTimes
from dpip.controller.datastore import SqlDatastore
from dpip.controller.message_server import MessageServer
from dpip.model.activity import ActivityKind
from dpip.model.job import Failure, FailureCode
from dpip.model.worker import Resources, WorkerState
from dpip.ports.clock import SystemClock
from dpip.wire import subjects
from dpip.wire.codec import decode, encode
from dpip.wire.messages import (
    PROTOCOL,
    Goodbye,
    Heartbeat,
    Hello,
    Message,
    Outcome,
    OutcomeKind,
    Welcome,
)
from tests.integration.controller.rogue import Rogue, at, rogue
from tests.nats import ISSUER, JOIN_SECRET, JOIN_TOKEN, PATIENCE, new_server, part_of, worker_of

RESOURCES = Resources(cpu=0, cores=4, memory_total=2**30, memory_available=2**30)
HELLO = Hello(protocol=PROTOCOL, tags=(), slots=1, prefetch=0, resources=RESOURCES)
FAILED = Outcome(
    job_id="j",
    attempt=1,
    kind=OutcomeKind.FAILED,
    failure=Failure(code=FailureCode.CRASHED, reason="It did."),
)
BEAT = Heartbeat(tags=(), slots=1, prefetch=0, draining=False, resources=RESOURCES, running=())
MOST_CHUNKS, CHUNK = 200, 500
"""A flood is 100,000 messages at most."""


class Cluster:
    """A controller with its server and its datastore."""

    def __init__(self, server: MessageServer, datastore: SqlDatastore) -> None:
        self.server = server
        self.datastore = datastore

    async def join(self, name: str) -> Welcome:
        """Have a well-behaved worker join."""
        subject = subjects.hello(JOIN_SECRET.id, name, "i")
        async with worker_of(self.server, name) as worker:
            answer = await worker.request(subject, encode(HELLO), PATIENCE)
        return decode(answer, Welcome, subject)

    async def joined(self) -> list[str]:
        """Who was taken in, as often as it was written down."""
        activities = await self.datastore.activities(limit=1000)
        joined = [each for each in activities if each.kind is ActivityKind.WORKER_JOINED]
        return sorted(each.subject for each in joined)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    datastore = await SqlDatastore.open(f"sqlite:///{tmp_path / 'dpip.db'}")
    await datastore.add_join_token(JOIN_TOKEN)
    server = new_server(tmp_path / "message-server")
    await server.start()
    try:
        async with part_of(server) as bus:
            controller = Controller(
                datastore,
                bus,
                SystemClock(),
                issuer=ISSUER,
                image_store_endpoint="http://images:80",
                times=ControllerTimes(
                    heartbeat_seconds=2,
                    timeout_seconds=600,
                    longest_lease_seconds=600,
                    history_seconds=600,
                ),
            )
            await controller.start()
            try:
                yield Cluster(server, datastore)
            finally:
                await controller.stop()
    finally:
        await server.stop()
        await datastore.close()


async def flood(worker: Rogue, subject: str, message: Message) -> None:
    """Say ``message`` until the server hangs up; fails if it never does."""
    payload = encode(message)
    said = f"PUB {subject} {subjects.inbox('flood', 'i')}.x {len(payload)}\r\n".encode()
    try:
        for _ in range(MOST_CHUNKS):
            await worker.send_raw((said + payload + b"\r\n") * CHUNK)
    except ConnectionError:
        return
    await worker.until_cut_off()


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (lambda: subjects.hello(JOIN_SECRET.id, "flood", "i"), HELLO),
        (lambda: subjects.heartbeat("flood", "i"), BEAT),
        (lambda: subjects.outcome("flood", "i"), FAILED),
        (lambda: subjects.goodbye("flood", "i"), Goodbye()),
    ],
    ids=["hello", "heartbeat", "outcome", "goodbye"],
)
async def test_one_who_floods_is_cut_off_and_others_join(
    cluster: Cluster, subject: Callable[[], str], message: Message
) -> None:
    """Meanwhile and after it; the database is written for what is new, and the same process is
    not let in again at once.
    """
    assert await cluster.join("flood")
    async with rogue(*at(cluster.server), name="flood") as flooder:
        await flooder.send("PING")
        await flooder.until("pong")
        await flood(flooder, subject(), message)
        assert await cluster.join("late")
    async with rogue(*at(cluster.server), name="flood") as again:
        await again.send("PING")
        assert "pong" not in await again.until_cut_off()
    assert await cluster.join("later")
    assert await cluster.joined() == ["flood", "late", "later"]
    late = await cluster.datastore.worker("late")
    assert late is not None
    assert late.state is WorkerState.ALIVE


async def test_a_crowd_of_connections_is_let_in_and_so_are_others(cluster: Cluster) -> None:
    """Each of a hundred names says as much as is taken in."""
    for number in range(100):
        name = f"crowd-{number}"
        async with rogue(*at(cluster.server), name=name) as one:
            payload = encode(HELLO)
            subject = subjects.hello(JOIN_SECRET.id, name, "i")
            await one.send_raw(
                f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\nPING\r\n"
            )
            await one.until("pong")
    assert await cluster.join("late")
