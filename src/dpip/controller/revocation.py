"""Cuts off those whose join token has been revoked or has expired."""

import msgspec
import structlog
from msgspec import Struct

from dpip.controller.attempts import Attempts
from dpip.controller.nats_configuration import KICK, SERVER_USER
from dpip.controller.roll_call import RollCall
from dpip.model.worker import WorkerState
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore

log = structlog.get_logger()

_CONNECTIONS = "$SYS.REQ.ACCOUNT.PING.CONNZ"
_ANSWER_SECONDS = 0.5
_PAGE = 256
# After a change: a server may answer late, and let one in at the very moment of a look.
_LOOKS = 10


class _Connection(Struct):
    cid: int
    authorized_user: str = ""


class _Connections(Struct):
    connections: list[_Connection]


class _Server(Struct):
    id: str


class _Answer(Struct):
    """What one server of a cluster says of its connections."""

    server: _Server
    data: _Connections


class Revocation:
    """Looks at the join tokens again and again; what has become of them is true of their holders.

    A worker that is cut off loses its token for the images and its leases, which are pending
    again, and the server closes its connection.
    """

    def __init__(
        self,
        datastore: Datastore,
        attempts: Attempts,
        roll_call: RollCall,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._datastore = datastore
        self._attempts = attempts
        self._roll_call = roll_call
        self._bus = bus
        self._clock = clock
        self._in_force: frozenset[str] | None = None
        self._looks_left = 0

    async def enforce(self) -> None:
        """Cut off every worker whose join token is not in force any more."""
        now = self._clock.now()
        tokens = await self._datastore.join_tokens()
        in_force = frozenset(token.id for token in tokens if token.is_in_force(now))
        for worker, join_token in (await self._datastore.join_tokens_at_work()).items():
            if join_token not in in_force:
                await self._dismiss(worker)
        if in_force != self._in_force:
            self._in_force, self._looks_left = in_force, _LOOKS
        if self._looks_left:
            await self._disconnect_all_but(in_force)
            self._looks_left -= 1

    async def _dismiss(self, worker: str) -> None:
        log.warning("worker cut off: its join token is not in force any more", worker=worker)
        await self._roll_call.end(worker, WorkerState.LOST)
        for lease in await self._datastore.leases():
            if lease.worker == worker:
                await self._attempts.give_back(lease)

    async def _disconnect_all_but(self, in_force: frozenset[str]) -> None:
        page = 0
        while True:
            ask = msgspec.json.encode({"auth": True, "offset": page * _PAGE, "limit": _PAGE})
            answers = [
                msgspec.json.decode(answer, type=_Answer)
                for answer in await self._bus.request_all(_CONNECTIONS, ask, _ANSWER_SECONDS)
            ]
            for answer in answers:
                for connection in answer.data.connections:
                    user = connection.authorized_user
                    if user != SERVER_USER and user.split(".")[0] not in in_force:
                        await self._disconnect(answer.server.id, connection)
            if all(len(answer.data.connections) < _PAGE for answer in answers):
                return
            page += 1

    async def _disconnect(self, server_id: str, connection: _Connection) -> None:
        log.info("connection closed", user=connection.authorized_user)
        ask = msgspec.json.encode({"cid": connection.cid})
        # Asked, not told: a server passes over what expects no answer.
        await self._bus.request(KICK.replace("*", server_id), ask, _ANSWER_SECONDS)
