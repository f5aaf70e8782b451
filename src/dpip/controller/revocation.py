"""Cuts off those whose join token has been revoked or has expired."""

import structlog

from dpip.controller.attempts import Attempts
from dpip.controller.connections import Connections
from dpip.controller.roll_call import RollCall
from dpip.model.worker import WorkerState
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore

log = structlog.get_logger()

# After a change: a server may answer late, and let one in at the very moment of a look.
_LOOKS = 10


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
        connections: Connections,
        clock: Clock,
    ) -> None:
        self._datastore = datastore
        self._attempts = attempts
        self._roll_call = roll_call
        self._connections = connections
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
            await self._connections.close_all(lambda user: user.split(".")[0] not in in_force)
            self._looks_left -= 1

    async def _dismiss(self, worker: str) -> None:
        log.warning("worker cut off: its join token is not in force any more", worker=worker)
        await self._roll_call.end(worker, WorkerState.LOST)
        for lease in await self._datastore.leases():
            if lease.worker == worker:
                await self._attempts.give_back(lease)
