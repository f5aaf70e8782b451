"""Whether a worker may go to the image store itself."""

import asyncio
from http import HTTPStatus
from pathlib import Path

import aiohttp
import structlog

from dpip.direct_store import DirectStore

log = structlog.get_logger()


class StoreAccess:
    """Opens the image directories at ``images``, once an API has said that they are its own."""

    def __init__(self, session: aiohttp.ClientSession, images: Path | None) -> None:
        self._session = session
        self._images = images
        self._asking = asyncio.Lock()
        self._is_in_doubt = False
        self._store: DirectStore | None = None

    def admit(self, endpoint: str, token: str) -> None:
        """Ask at ``endpoint``, as the holder of ``token``, from the next time on."""
        self._endpoint = endpoint
        self._token = token
        self._is_in_doubt = True

    def doubt(self) -> None:
        """Ask again the next time."""
        self._is_in_doubt = True

    async def store(self) -> DirectStore | None:
        """The store, or ``None`` where all has to go through the API."""
        if self._images is None:
            return None
        async with self._asking:
            if self._is_in_doubt:
                await self.close()
                self._is_in_doubt = False
                self._store = await self._opened(self._images)
            return self._store

    async def close(self) -> None:
        """Let go of the store."""
        store, self._store = self._store, None
        if store:
            await asyncio.to_thread(store.close)

    async def _opened(self, images: Path) -> DirectStore | None:
        try:
            store = await asyncio.to_thread(DirectStore, images, self._token)
        except OSError:  # It is not here, or not for this process.
            return None
        try:
            async with self._session.get(f"{self._endpoint}/staging-area") as answer:
                if answer.status == HTTPStatus.NO_CONTENT:
                    log.info("reads and writes the image store itself")
                    return store
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._is_in_doubt = True
        await asyncio.to_thread(store.close)
        return None
