"""Whoever came by a join token that is not in force any more is cut off, and nobody else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from dpip.controller.connections import Connections
from dpip.controller.gatekeeper import AUTHENTICATE
from dpip.controller.message_server import MessageServer
from dpip.controller.revocation import Revocation
from dpip.errors import BusUnavailable, StorageUnavailable
from dpip.model.job import Lease
from dpip.model.join_token import JoinSecret, JoinToken
from dpip.model.worker import WorkerState
from dpip.wire import subjects
from tests.integration.controller.parts import Parts, controller_parts
from tests.integration.controller.rogue import at, rogue
from tests.nats import JOIN_SECRET, JOIN_TOKEN, new_gatekeeper, new_server, part_of

OTHER_SECRET = JoinSecret(id="ba9876543210", secret=JOIN_SECRET.secret)
OTHER_TOKEN = JoinToken(
    id=OTHER_SECRET.id, name="other", secret_hash=OTHER_SECRET.hash, created_at=0
)


class Cluster:
    """A server whose controller can be asked to enforce what became of the tokens."""

    def __init__(self, parts: Parts, server: MessageServer) -> None:
        self.parts = parts
        self.server = server
        self.restart()

    def restart(self) -> None:
        parts = self.parts
        parts.restart()
        self.revocation = Revocation(
            parts.datastore, parts.attempts, parts.roll_call, Connections(parts.bus), parts.clock
        )


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(controller_parts(tmp_path))
        server = new_server(tmp_path / "guarded")
        await server.start()
        stack.push_async_callback(server.stop)
        parts.bus = await stack.enter_async_context(part_of(server))
        gatekeeper = new_gatekeeper(parts.bus, parts.datastore.join_token, parts.clock)
        await parts.bus.subscribe(AUTHENTICATE, gatekeeper.authenticate)
        await parts.datastore.add_join_token(OTHER_TOKEN)
        yield Cluster(parts, server)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_revoked_token_cuts_off_who_came_by_it(cluster: Cluster, restarted: bool) -> None:
    """Their leases are pending again and no failure; others keep theirs, and their connection.

    A controller that was started after the revocation does it, too.
    """
    parts = cluster.parts
    async with (
        rogue(*at(cluster.server), "w", "one") as worker,
        rogue(*at(cluster.server), "other", "one", OTHER_SECRET) as other,
    ):
        for each in (worker, other):
            await each.send("PING")
            await each.until("pong")
        await parts.hello("w")
        await parts.hello("other", join_token=OTHER_TOKEN.id)
        await cluster.revocation.enforce()
        lost, kept = await parts.lease("w"), await parts.lease("other")
        await parts.datastore.remove_join_token(JOIN_TOKEN.name)
        if restarted:
            cluster.restart()
        await cluster.revocation.enforce()
        await worker.until_cut_off()
        assert (await parts.worker("w")).state is WorkerState.LOST
        assert (await parts.worker("other")).state is WorkerState.ALIVE
        assert await parts.datastore.leases() == [kept]
        assert await parts.failures(lost.job_id) == 0
        await other.send("PING")
        await other.until("pong")


async def test_a_token_that_has_expired_or_was_replaced_is_not_in_force(cluster: Cluster) -> None:
    """As if it had been revoked."""
    parts = cluster.parts
    await parts.datastore.replace_join_token(
        msgspec.structs.replace(OTHER_TOKEN, expires_at=parts.clock.now() + 10)
    )
    await parts.hello("w")
    await parts.hello("other", join_token=OTHER_TOKEN.id)
    parts.clock.pass_by(10)
    await parts.datastore.replace_join_token(msgspec.structs.replace(JOIN_TOKEN, id="0" * 12))
    await cluster.revocation.enforce()
    for name in ("w", "other"):
        assert (await parts.worker(name)).state is WorkerState.LOST


async def test_who_was_cut_off_is_not_heard_any_more(cluster: Cluster) -> None:
    """Were its connection still there, its heartbeats and hellos would count for nothing."""
    parts = cluster.parts
    await parts.hello("w")
    await parts.datastore.remove_join_token(JOIN_TOKEN.name)
    await cluster.revocation.enforce()
    lease: Lease = await parts.lease("w")
    await parts.beat(lease)
    await parts.roll_call.write_readings(history=False)
    refusal = await parts.hello("w")
    assert "not in force" in getattr(refusal, "reason", "")
    assert (await parts.worker("w")).state is WorkerState.LOST
    assert not await parts.roll_call.is_registered(subjects.Speaker("w", "one"))


async def test_a_cut_that_fails_is_made_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was away when it was asked closes the connection the next time."""
    parts = cluster.parts
    async with rogue(*at(cluster.server), "w", "one") as worker:
        await worker.send("PING")
        await worker.until("pong")
        await parts.datastore.remove_join_token(JOIN_TOKEN.name)

        async def away(*_: object) -> list[bytes]:
            raise BusUnavailable(address="a", reason="test")

        with monkeypatch.context() as patched:
            patched.setattr(parts.bus, "request_all", away)
            for _ in range(3):
                with pytest.raises(BusUnavailable):
                    await cluster.revocation.enforce()
        await cluster.revocation.enforce()
        await worker.until_cut_off()


async def test_without_a_datastore_nobody_is_cut_off(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read says nothing about the tokens."""
    parts = cluster.parts
    await parts.hello("w")

    async def away() -> list[JoinToken]:
        raise StorageUnavailable(storage="datastore", reason="test")

    monkeypatch.setattr(parts.datastore, "join_tokens", away)
    with pytest.raises(StorageUnavailable):
        await cluster.revocation.enforce()
    assert (await parts.worker("w")).state is WorkerState.ALIVE
