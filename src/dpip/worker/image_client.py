"""How a worker gets originals and hands in results: through the API, with its own token."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec
from msgspec import Struct

from dpip.direct_store import DirectStore, Staged
from dpip.errors import DpipError, ImageDamaged
from dpip.model.image import ImageKind
from dpip.model.image_place import place_of_image
from dpip.model.note import Note, notes_as_text
from dpip.wire.messages import Run
from dpip.worker.commits import Answer, Commits, StagedResult
from dpip.worker.scratch import ScratchUnusable
from dpip.worker.store_access import StoreAccess

T = TypeVar("T")

_BLOCK = 1024 * 1024
_JSON = {"Content-Type": "application/json"}
_SMALL_BYTES = 64 * 1024
"""So much is copied or sent at once: to hand it to a thread, or to send it in pieces, takes longer
than all else that is done to it."""
_PATIENCE_SECONDS = 30.0
_MOST_BROKEN_OFF = 3
_DAMAGED = ImageDamaged.code
_RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0)
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
_UNSPECIFIED_HOSTS = {"0.0.0.0", "::"}  # noqa: S104  # nosec B104 # compared with, not bound to


class AttemptIsStale(DpipError):
    """The API does not see this worker's lease on the job any more."""

    code = "attempt_is_stale"
    sentence = "The lease has passed to another attempt."


class OriginalUnavailable(DpipError):
    """The image store has lost the original, or its bytes have changed."""

    code = "original_unavailable"
    sentence = "The original could not be read from the image store: {reason}"


class ResultRefused(DpipError):
    """The API does not take the result."""

    code = "result_refused"
    sentence = "The result was refused with {status}: {reason}"


class ApiAway(DpipError):
    """The API could not be used for as long as the worker is willing to wait."""

    code = "api_away"
    sentence = "The image store did not answer for {seconds:g} s: {reason}."


class ImageClient:
    """Images of the jobs in hand, over connections that stay open between them.

    Where the image store's directories are found at ``images``, originals are read and results are
    written there, and only the commits go to the API.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        tls: ssl.SSLContext | None = None,
        *,
        images: Path | None = None,
    ) -> None:
        """``tls`` says whom to trust; without it, whomever this machine trusts."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
        )
        self._access = StoreAccess(self._session, images)
        self._commits = Commits(self._ask_for_commits)
        self.admit(endpoint, token)

    def admit(self, endpoint: str, token: str) -> None:
        """Go to ``endpoint`` with ``token`` from the next request on."""
        self._endpoint = endpoint.rstrip("/")
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._access.admit(self._endpoint, token)

    async def close(self) -> None:
        """Close the connections."""
        await self._access.close()
        await self._session.close()

    async def download(self, run: Run, target: Path) -> None:
        """Have the bytes of an original at ``target``.

        Nobody may write to it: it may be another name of the file in the image store. Raises
        ``AttemptIsStale`` where it is no longer this worker's, ``OriginalUnavailable``,
        ``ApiAway``, ``ScratchUnusable``.
        """
        store = await self._access.store()
        if store is not None and await _linked_out(store, run, target):
            return
        broken_off = 0

        async def attempt() -> None:
            nonlocal broken_off
            try:
                await fetch()
            except aiohttp.ClientPayloadError as error:
                # The API breaks off where the bytes turn out not to be those that were kept.
                broken_off += 1
                if broken_off == _MOST_BROKEN_OFF:
                    raise OriginalUnavailable(reason=error) from error
                raise

        async def fetch() -> None:
            async with self._session.get(f"{self._endpoint}/images/{run.image_id}") as answer:
                if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED):
                    raise AttemptIsStale
                if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                    problem = await _problem_in(answer)
                    if problem.code == _DAMAGED:
                        raise OriginalUnavailable(reason=problem.detail)
                answer.raise_for_status()
                await _save(answer, target)

        await _patiently(attempt)

    async def upload(
        self, run: Run, result: Path, *, milliseconds: float, notes: Sequence[Note] = ()
    ) -> None:
        """Hand in the filtered image of an attempt; on return it is committed.

        ``result`` may be used up by that: nobody may be able to write to it any more.
        Raises ``AttemptIsStale``, ``ResultRefused``, ``ApiAway``.
        """
        said = notes_as_text(notes)

        async def attempt() -> None:
            store = await self._access.store()
            if store is None or not await self._commit(store, run, result, milliseconds, said):
                await self._send(run, result, milliseconds, said)

        await _patiently(attempt)

    async def _commit(
        self,
        store: DirectStore,
        run: Run,
        result: Path,
        milliseconds: float,
        notes: str,
    ) -> bool:
        """Hand in a result that lies in the store already; whether it could be put there."""
        staged = await _moved_in(store, result)
        if staged is None:
            return False
        try:
            answer = await self._commits.commit(
                StagedResult(
                    name=staged.name,
                    workload_id=run.workload_id,
                    job_id=run.job_id,
                    attempt=run.attempt,
                    milliseconds=milliseconds,
                    sha256=staged.sha256,
                    notes=notes,
                )
            )
        except asyncio.CancelledError:
            store.let_go(staged)
            raise
        except Exception:
            await asyncio.to_thread(store.put_back, staged, result)
            raise
        if answer.status < HTTPStatus.BAD_REQUEST:
            store.let_go(staged)
            return True
        await asyncio.to_thread(store.put_back, staged, result)
        if answer.status == HTTPStatus.NOT_FOUND:  # This API does not see it.
            self._access.doubt(store)
            return False
        _check_taken(answer.status, answer.detail)
        return True

    async def _ask_for_commits(self, results: Sequence[StagedResult]) -> Sequence[Answer]:
        url = f"{self._endpoint}/staged-results"
        body = msgspec.json.encode({"results": results})
        async with self._session.post(url, data=body, headers=_JSON) as answer:
            if answer.status == HTTPStatus.CREATED:
                return msgspec.json.decode(await answer.read(), type=_Answers).pictures
            _check_taken(answer.status, (await _problem_in(answer)).detail)
            raise aiohttp.ClientPayloadError(f"{answer.status} is no answer to commits")

    async def _send(self, run: Run, result: Path, milliseconds: float, notes: str) -> None:
        sha256 = await asyncio.to_thread(_sha256_of, result)
        with result.open("rb") as file:
            form = aiohttp.FormData(
                {
                    "type": ImageKind.FILTERED.value,
                    "workload_id": run.workload_id,
                    "job_id": run.job_id,
                    "attempt": str(run.attempt),
                    "milliseconds": f"{milliseconds:.3f}",
                    "sha256": sha256,
                }
            )
            if notes:
                form.add_field("notes", notes)
            form.add_field(
                "data",
                file,
                filename=f"{run.image_id}{run.format.suffix}",
                content_type=run.format.media_type,
            )
            body: aiohttp.payload.Payload = form()
            if result.stat().st_size <= _SMALL_BYTES:
                # One write instead of some thirty, which took longer than the picture.
                body = aiohttp.BytesPayload(await body.as_bytes(), headers=body.headers)
            async with self._session.post(f"{self._endpoint}/images", data=body) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    _check_taken(answer.status, (await _problem_in(answer)).detail)


def _check_taken(status: int, detail: str | None) -> None:
    if status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED):
        raise AttemptIsStale
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.TOO_MANY_REQUESTS:
        raise ResultRefused(status=status, reason=detail)
    if status >= HTTPStatus.TOO_MANY_REQUESTS:
        raise ConnectionError(f"{status}, {detail}")


class _Answers(Struct, frozen=True):
    pictures: tuple[Answer, ...]


async def _linked_out(store: DirectStore, run: Run, target: Path) -> bool:
    """Whether the original is at ``target`` now. If not, the API knows why."""
    place = place_of_image(
        run.workload_name, run.workload_id, ImageKind.ORIGINAL, run.image_id, run.format
    )
    try:
        if store.length(place) <= _SMALL_BYTES:
            return store.link_out(place, run.sha256, target)
        return await asyncio.to_thread(store.link_out, place, run.sha256, target)
    except OSError:
        return False


async def _moved_in(store: DirectStore, result: Path) -> Staged | None:
    try:
        if result.stat().st_size <= _SMALL_BYTES:
            return store.move_in(result)
        return await asyncio.to_thread(store.move_in, result)
    except OSError:
        return None


async def _save(answer: aiohttp.ClientResponse, target: Path) -> None:
    try:
        target.unlink(missing_ok=True)
        with target.open("xb") as file:
            async for block in answer.content.iter_chunked(_BLOCK):
                file.write(block)
    except (aiohttp.ClientError, ConnectionError, TimeoutError):  # Some are an OSError, too.
        raise
    except OSError as error:
        raise ScratchUnusable(reason=error) from error


def _sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Problem(Struct, frozen=True):
    """The members of a problem document (RFC 9457) that a worker reads."""

    code: str = ""
    detail: str = "the answer gives no reason"


async def _problem_in(answer: aiohttp.ClientResponse) -> _Problem:
    try:
        return msgspec.json.decode(await answer.read(), type=_Problem)
    except msgspec.DecodeError:
        return _Problem()


def reachable_endpoint(endpoint: str, controller_host: str) -> str:
    """Return ``endpoint``, its host replaced by ``controller_host`` if it stands for all."""
    parts = urlsplit(endpoint)
    if parts.hostname not in _UNSPECIFIED_HOSTS:
        return endpoint
    host = f"[{controller_host}]" if ":" in controller_host else controller_host
    return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}"))


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat ``attempt`` while the API is away or too busy, within reason."""
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + _PATIENCE_SECONDS
    tries = 0
    while True:
        try:
            return await attempt()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if clock() > give_up_at:
                raise ApiAway(seconds=_PATIENCE_SECONDS, reason=error) from error
        await asyncio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
        tries += 1
