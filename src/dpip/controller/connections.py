"""The connections of workers to the message-passing server, and how they are closed."""

import contextlib
from collections.abc import Callable

import msgspec
import structlog
from msgspec import Struct

from dpip.controller.nats_configuration import KICK, SERVER_USER
from dpip.errors import NoAnswerInTime
from dpip.ports.bus import Bus

log = structlog.get_logger()

_CONNECTIONS = "$SYS.REQ.ACCOUNT.PING.CONNZ"
_ANSWER_SECONDS = 0.5
_PAGE = 256


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


class Connections:
    """Closes connections of workers, each known by its user: token, worker and instance."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def close_all(self, is_unwanted: Callable[[str], bool]) -> None:
        """Have the servers close every connection of a user that ``is_unwanted`` is true of."""
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
                    if user != SERVER_USER and is_unwanted(user):
                        await self.close(answer.server.id, connection.cid, user)
            if all(len(answer.data.connections) < _PAGE for answer in answers):
                return
            page += 1

    async def close(self, server_id: str, connection_id: int, user: str) -> None:
        """Have a server close one connection."""
        log.info("connection closed", user=user)
        ask = msgspec.json.encode({"cid": connection_id})
        # Asked, not told: a server passes over what expects no answer.
        with contextlib.suppress(NoAnswerInTime):  # It stands behind all that is still to be read.
            await self._bus.request(KICK.replace("*", server_id), ask, _ANSWER_SECONDS)
