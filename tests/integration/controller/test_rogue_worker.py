"""The server itself keeps a worker to its own subjects, whatever it sends, and goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from dpip.controller.gatekeeper import AUTHENTICATE
from dpip.controller.message_server import MessageServer
from dpip.controller.nats_configuration import KICK, SERVER_USER
from dpip.model.join_token import JoinSecret, JoinToken
from dpip.ports.clock import SystemClock
from dpip.wire import subjects
from dpip.wire.codec import LARGEST_MESSAGE
from tests.integration.controller.rogue import at, rogue
from tests.nats import (
    JOIN_SECRET,
    PATIENCE,
    SERVER_PASSWORD,
    Received,
    known,
    message_server,
    new_gatekeeper,
    new_server,
    part_of,
    worker_of,
)

REFUSED = {"-err 'authorization violation'"}
EXPIRED = {"-err 'user authentication expired'"}
OWN = subjects.heartbeat("w", "i")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MessageServer]:
    async with message_server(tmp_path) as server:
        yield server


async def test_a_worker_can_do_what_workers_do(server: MessageServer) -> None:
    """It says hello, beats, tells outcomes and answers calls."""
    async with worker_of(server) as worker, part_of(server) as bus:
        await bus.subscribe(subjects.HELLOS, Received(answer=b"welcome"))
        await bus.subscribe(subjects.OUTCOMES, Received(answer=b"acknowledged"))
        heard = Received()
        await bus.subscribe(subjects.HEARTBEATS, heard)
        await bus.subscribe(subjects.GOODBYES, heard)
        await worker.subscribe(subjects.run("w", "i"), Received(answer=b"accepted"))
        await worker.subscribe(subjects.ping("w", "i"), Received(answer=b""))
        hello = subjects.hello(JOIN_SECRET.id, "w", "i")
        assert await worker.request(hello, b"", PATIENCE) == b"welcome"
        assert await worker.request(subjects.outcome("w", "i"), b"", PATIENCE) == b"acknowledged"
        assert await bus.request(subjects.run("w", "i"), b"", PATIENCE) == b"accepted"
        assert await bus.request(subjects.ping("w", "i"), b"", PATIENCE) == b""
        await worker.publish(OWN, b"1")
        assert (await heard.next())[1] == b"1"
        await worker.publish(subjects.goodbye("w", "i"), b"2")
        assert (await heard.next())[1] == b"2"


@pytest.mark.parametrize(
    "subject",
    [
        subjects.HELLOS,
        subjects.HEARTBEATS,
        subjects.OUTCOMES,
        OWN,
        subjects.run("other", "i"),
        subjects.run("w", "former"),
        subjects.run("w", "*"),
        subjects.command("other", "i"),
        subjects.command("w", "*"),
        subjects.run("*", "*"),
        "dpip.v1.run.>",
        subjects.JOBS_READY,
        subjects.ALL_SETTLED,
        "_INBOX.>",
        "_INBOX.*.*.>",
        "_INBOX.w.>",
        f"{subjects.inbox('other', 'i')}.>",
        "dpip.v1.>",
        "$SYS.>",
        AUTHENTICATE,
        ">",
    ],
)
async def test_a_worker_hears_nothing_that_is_not_for_it(
    server: MessageServer, subject: str
) -> None:
    """No other's subject, no wildcard, no other's inbox: nothing is delivered."""
    async with rogue(*at(server)) as worker, part_of(server) as bus:
        await worker.subscribe(subject)
        assert "permissions violation for subscription" in await worker.until("-err")
        spoken = subject.replace("*", "x").replace(">", "x")
        if not spoken.startswith("$SYS"):
            await bus.publish(spoken, b"secret")
            await bus.subscribe("after", Received(answer=b""))
            await bus.request("after", b"", PATIENCE)
        assert await worker.heard_nothing()


@pytest.mark.parametrize(
    "subject",
    [
        subjects.hello(JOIN_SECRET.id, "other", "i"),
        subjects.hello("another0token", "w", "i"),
        subjects.heartbeat("other", "i"),
        subjects.heartbeat("w", "former"),
        subjects.outcome("other", "i"),
        subjects.goodbye("other", "i"),
        subjects.run("w", "i"),
        subjects.run("other", "i"),
        subjects.ping("other", "i"),
        subjects.rejoin("other", "i"),
        subjects.command("other", "i"),
        subjects.command("w", "i"),
        subjects.JOBS_READY,
        subjects.settled("wl"),
        f"{subjects.inbox('other', 'i')}.answer",
        "_INBOX.of.a.part",
        AUTHENTICATE,
        KICK.replace("*", "x"),
    ],
)
async def test_a_worker_says_nothing_as_another(server: MessageServer, subject: str) -> None:
    """The server objects, and what follows is the first to arrive."""
    received = Received()
    async with rogue(*at(server)) as worker, part_of(server) as bus:
        for everything in ("dpip.v1.>", "_INBOX.of.>", "_INBOX.other.>"):
            await bus.subscribe(everything, received)
        await worker.publish(subject, b"forged")
        assert "permissions violation for publish" in await worker.until("-err")
        await worker.publish(OWN, b"allowed")
        assert await received.next() == (OWN, b"allowed")


async def test_an_answer_may_be_given_once_and_to_who_asked(server: MessageServer) -> None:
    """The inbox of a request is open to the one answer, and closed after it."""
    async with rogue(*at(server)) as worker, part_of(server) as bus:
        await worker.subscribe(subjects.ping("w", "i"))
        await worker.send("PING")
        await worker.until("pong")
        received = Received()
        await bus.subscribe("_INBOX.asker", received)
        await bus._client.publish(subjects.ping("w", "i"), b"", reply="_INBOX.asker")
        await worker.until("msg")
        await worker.publish("_INBOX.asker", b"answer")
        assert (await received.next())[1] == b"answer"
        await worker.publish("_INBOX.asker", b"again")
        assert "permissions violation for publish" in await worker.until("-err")
        assert received.waiting == 0


async def test_what_is_too_large_costs_its_sender_the_connection(server: MessageServer) -> None:
    """Others go on, and it may connect again."""
    received = Received()
    async with part_of(server) as bus, worker_of(server, "other", "o") as other:
        await bus.subscribe(subjects.HEARTBEATS, received)
        async with rogue(*at(server)) as worker:
            await worker.publish(OWN, b"x" * (LARGEST_MESSAGE + 1))
            await worker.until_cut_off()
        async with rogue(*at(server)) as worker:
            await worker.send(f"PUB {'x' * 8192} 0", b"")
            await worker.until_cut_off()
        async with rogue(*at(server)) as worker:
            await worker.send("\x00\xff noise")
            await worker.until_cut_off()
        await other.publish(subjects.heartbeat("other", "o"), b"alive")
        assert (await received.next())[1] == b"alive"


async def test_subscriptions_are_counted(server: MessageServer) -> None:
    """A worker needs four; beyond some dozens it gets no more."""
    async with rogue(*at(server)) as worker:
        for number in range(100):
            await worker.send(f"SUB {subjects.run('w', 'i')} {number}")
        assert "maximum subscriptions exceeded" in await worker.until("-err")


def _another(secret: JoinSecret) -> JoinSecret:
    return msgspec.structs.replace(JoinSecret.new(), id=secret.id)


@pytest.mark.parametrize(
    ("secret", "name", "instance"),
    [
        (_another(JOIN_SECRET), "w", "i"),
        (JoinSecret.new(), "w", "i"),
        (msgspec.structs.replace(JOIN_SECRET, secret=""), "w", "i"),
        (JOIN_SECRET, "", "i"),
        (JOIN_SECRET, "a b", "i"),
        (JOIN_SECRET, "*", "i"),
        (JOIN_SECRET, ">", "i"),
        (JOIN_SECRET, "w.x", "i"),
        (JOIN_SECRET, "x" * 65, "i"),
        (JOIN_SECRET, "w", "*"),
        (JOIN_SECRET, "w", ""),
    ],
)
async def test_a_join_without_what_it_takes_is_refused_and_told_nothing(
    server: MessageServer, secret: JoinSecret, name: str, instance: str
) -> None:
    """Wrong secret, unknown token, no secret, a name that is none: all are told the same."""
    async with rogue(*at(server), name, instance, secret) as worker:
        await worker.send("PING")
        assert await worker.until_cut_off() <= REFUSED


@pytest.mark.parametrize(
    "shown",
    [
        {"user": None, "pass": None},
        {"user": SERVER_USER, "pass": "wrong"},
        {"user": SERVER_USER, "pass": JOIN_SECRET.secret},
        {"user": JOIN_SECRET.id, "pass": SERVER_PASSWORD},
        {"user": None, "pass": None, "auth_token": JOIN_SECRET.secret},
        {"user": None, "pass": None, "jwt": "a.b.c", "sig": "x"},
    ],
)
async def test_a_connection_without_credentials_is_refused(
    server: MessageServer, shown: dict[str, object]
) -> None:
    """Those of DPIP's own parts cannot be had by a join token, either."""
    async with rogue(*at(server), shown=shown) as worker:
        await worker.send("PING")
        assert await worker.until_cut_off() <= REFUSED


@pytest.fixture
async def expiring(tmp_path: Path) -> AsyncIterator[tuple[MessageServer, JoinSecret, JoinSecret]]:
    """A server that knows a token which expires in a moment, and one that has."""
    clock = SystemClock()
    soon, stale = JoinSecret.new(), JoinSecret.new()
    tokens = [
        JoinToken(
            id=secret.id,
            name=secret.id,
            secret_hash=secret.hash,
            created_at=0,
            expires_at=clock.now() + seconds,
        )
        for secret, seconds in ((soon, 3), (stale, -1))
    ]
    server = new_server(tmp_path / "message-server")
    await server.start()
    try:
        async with part_of(server) as bus:
            gatekeeper = new_gatekeeper(bus, known(*tokens), clock)
            await bus.subscribe(AUTHENTICATE, gatekeeper.authenticate)
            yield server, soon, stale
    finally:
        await server.stop()


async def test_a_credential_ends_with_its_join_token(
    expiring: tuple[MessageServer, JoinSecret, JoinSecret],
) -> None:
    """The server closes the connection by itself, and lets nobody in by what has expired."""
    server, soon, stale = expiring
    async with rogue(*at(server), secret=soon) as worker:
        await worker.send("PING")
        await worker.until("pong")
        await worker.until_cut_off()
    for secret in (soon, stale):
        said = {"pong"}
        while "pong" in said:  # Credentials end on the second, the token a part of one later.
            async with rogue(*at(server), secret=secret) as worker:
                await worker.send("PING")
                said = await worker.until_cut_off()
        assert said <= REFUSED | EXPIRED


async def test_noise_stops_the_gatekeeper_as_little(server: MessageServer) -> None:
    """A question that cannot be read is not answered, and the next one is."""
    async with part_of(server) as bus:
        for noise in (b"", b"noise", b"a.b.c", b"a.e30.c", b"\xff.\xff.\xff"):
            await bus.publish(AUTHENTICATE, noise)
        async with rogue(*at(server)) as worker:
            await worker.send("PING")
            assert await worker.until("pong")
