"""Whether a worker may go to the image store itself."""

import asyncio
from http import HTTPStatus
from pathlib import Path

import aiohttp
import structlog

from dpip.direct_store import DirectStore

log = structlog.get_logger()

_PATIENCE = aiohttp.ClientTimeout(total=3)
"""All pictures wait for the answer, and there is another way for them."""

_SILENCE_SECONDS = 10.0
"""How long an API that gave no answer is not asked again."""


class StoreAccess:
    """Opens the image directories at ``images``, once an API has said that they are its own."""

    def __init__(self, session: aiohttp.ClientSession, images: Path | None) -> None:
        self._session = session
        self._images = images
        self._question: asyncio.Task[None] | None = None
        self._is_in_doubt = False
        self._ask_again_at = 0.0
        self._store: DirectStore | None = None

    def admit(self, endpoint: str, token: str) -> None:
        """Ask at ``endpoint``, as the holder of ``token``, from the next time on."""
        self._endpoint = endpoint
        self._token = token
        self._is_in_doubt = True
        self._ask_again_at = 0.0

    def doubt(self, store: DirectStore) -> None:
        """Ask again the next time, unless ``store`` has been let go of already."""
        if store is self._store:
            self._is_in_doubt = True

    async def store(self) -> DirectStore | None:
        """The store, or ``None`` where all has to go through the API."""
        if self._images is None:
            return None
        if self._is_in_doubt and _now() >= self._ask_again_at:
            if self._question is None:
                self._question = asyncio.create_task(self._ask(self._images), name="ask for store")
            # It is the question of all who wait, and outlives a job that is cancelled.
            await asyncio.shield(self._question)
        return self._store

    async def close(self) -> None:
        """Let go of the store."""
        if self._question:
            await asyncio.wait([self._question])
        await self._let_go()

    async def _ask(self, images: Path) -> None:
        asked = self._endpoint, self._token
        try:
            await self._let_go()
            self._store = await self._opened(images, *asked)
            self._is_in_doubt = asked != (self._endpoint, self._token)
        except (aiohttp.ClientError, TimeoutError, OSError):
            if asked == (self._endpoint, self._token):
                self._ask_again_at = _now() + _SILENCE_SECONDS
        finally:
            self._question = None

    async def _opened(self, images: Path, endpoint: str, token: str) -> DirectStore | None:
        """The store, or ``None`` if the API says no. Raises what asking does."""
        try:
            store = await asyncio.to_thread(DirectStore, images, token)
        except OSError:  # It is not here, or not for this process.
            return None
        try:
            async with self._session.get(f"{endpoint}/staging-area", timeout=_PATIENCE) as answer:
                if answer.status == HTTPStatus.NO_CONTENT:
                    log.info("reads and writes the image store itself")
                    return store
                if answer.status >= HTTPStatus.TOO_MANY_REQUESTS:
                    answer.raise_for_status()
        except BaseException:
            await asyncio.to_thread(store.close)
            raise
        await asyncio.to_thread(store.close)
        return None

    async def _let_go(self) -> None:
        store, self._store = self._store, None
        if store:
            await asyncio.to_thread(store.close)


def _now() -> float:
    return asyncio.get_running_loop().time()
