"""When personal tokens were last used."""

import asyncio

import structlog

from dpip.errors import DpipError
from dpip.ports.datastore import Users

log = structlog.get_logger()

_SECONDS_BETWEEN_WRITES = 60.0


class TokenUse:
    """Remembers the last use of each token, and writes what is new once a minute, in one go."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._used: dict[str, float] = {}

    def note(self, token_id: str, at: float) -> None:
        """Take note that a token was used ``at`` (seconds since 1970)."""
        self._used[token_id] = at

    async def write(self) -> None:
        """Write what was noted; what cannot be written just now is written the next time."""
        used, self._used = self._used, {}
        try:
            await self._users.note_token_use(used)
        except DpipError as error:
            self._used = used | self._used
            log.warning("last use of tokens not kept", reason=str(error))

    async def keep_writing(self) -> None:
        """Write once a minute."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_WRITES)
            await self.write()
