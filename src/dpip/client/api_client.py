"""The API as Python methods."""

import base64
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import msgspec

from dpip.client.answers import (
    Explanation,
    Login,
    Result,
    ResultsPage,
    StagedPicture,
    StagedPictures,
    Status,
    UploadedImage,
    WorkerReading,
    Workers,
    Workload,
    WorkloadsPage,
    WorkloadSummary,
)
from dpip.client.multipart import CannotRead, UploadForm, opened
from dpip.client.transport import IDEMPOTENCY_KEY, Transport
from dpip.client.whole_file import whole_file
from dpip.errors import ApiRefused, DpipError, UnexpectedAnswer
from dpip.model.image import ImageKind
from dpip.model.image_place import place_of_image

if TYPE_CHECKING:
    from dpip.direct_store import DirectStore

T = TypeVar("T")

_CONNECTIONS = 32
_LONGEST_WAIT = 30.0
_PAGE = 100
_TO_BE_SENT = (HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""Statuses of a staged picture that is to be sent, for the server does not see it or is busy."""


class Asked(TypedDict, total=False):
    """Where the pictures of a workload may be filtered, how soon, and how small PNGs come back.

    A worker has to carry all ``tags``, and those with more of ``prefer_tags`` are preferred;
    ``gpu`` is "never", "preferred" or "required". Of a user's workloads, those of higher
    ``priority`` (-10 to 10) go first, and those of one priority share by ``weight`` (1 to 100).
    ``deadline``, with its offset from UTC, is when all should be done; text is as in RFC 3339.
    ``png_compression`` is 0 to 9.
    """

    tags: Sequence[str]
    prefer_tags: Sequence[str]
    gpu: str
    priority: int
    weight: int
    deadline: datetime | str
    png_compression: int


class Client:
    """A client of the API at ``url``; several threads may share one.

    Every method raises ``ApiRefused`` for an answer that is an error (with its ``code``, ``status``
    and ``detail``), ``ApiUnreachable`` where there is none and ``UnexpectedAnswer`` for one that
    makes no sense.
    """

    def __init__(self, url: str, *, token: str | None = None, tls_ca: Path | None = None) -> None:
        """``tls_ca`` is the certificate of the authority to trust, by default DPIP_TLS_CA's."""
        named = os.environ.get("DPIP_TLS_CA")
        authority = tls_ca or (Path(named).expanduser() if named else None)
        self._http = Transport(url, connections=_CONNECTIONS, tls_ca=authority)
        self._http.token = token
        self._store: DirectStore | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections, and of the image store."""
        if self._store:
            self._store.close()
        self._http.close()

    @property
    def is_direct(self) -> bool:
        """Whether pictures go to and come from the image store itself."""
        return self._store is not None

    def use_store(self, images: Path) -> bool:
        """Read and write pictures in ``images`` itself from now on, if the API keeps them there.

        Whether it does, and lets this program's user in, is asked with the token of now.
        """
        # Imported here because it has to do with locks and users, which not every system has.
        from dpip.direct_store import DirectStore

        try:
            store = DirectStore(images, self._http.token or "")
        except OSError:  # They are not here, or not for this user.
            return False
        try:
            self._http.request("GET", "/staging-area")
        except ApiRefused:
            store.close()
            return False
        except BaseException:
            store.close()
            raise
        self._store = store
        return True

    def login(self, user: str, password: str) -> None:
        """Trade name and password for a token, which every later request carries.

        They are kept until the logout, to log in again when the token has expired.
        """
        self._log_in(user, password)
        self._http.renew = partial(self._log_in, user, password)

    def _log_in(self, user: str, password: str) -> None:
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        login = self._ask(
            "POST", "/login", Login, headers={"Authorization": f"Basic {credentials}"}
        )
        self._http.token = login.token
        if self._store:  # Its staging area is named by the token.
            store, self._store = self._store, self._store.reopened(login.token)
            store.close()

    def logout(self) -> None:
        """Make the token worthless, here and on the server."""
        self._http.renew = None
        self._http.request("DELETE", "/logout")
        self._http.token = None

    def status(self) -> Status:
        """The system's name and time, the active workloads, and its workers."""
        return self._ask("GET", "/status", Status)

    def workers(self) -> tuple[WorkerReading, ...]:
        """All workers by name, those that have gone lately too."""
        return self._ask("GET", "/workers", Workers).workers

    def pause_worker(self, name: str) -> WorkerReading:
        """Have a worker take no more jobs until it is to resume; for administrators.

        It is shown as it was before it heard of it, and will have heard of it in a few seconds.
        """
        return self._tell(name, "pause")

    def resume_worker(self, name: str) -> WorkerReading:
        """Have a worker that was to pause work again; for administrators."""
        return self._tell(name, "resume")

    def drain_worker(self, name: str) -> WorkerReading:
        """Have a worker finish what it has begun, and leave; for administrators."""
        return self._tell(name, "drain")

    def create_workload(
        self,
        filter: str = "grayscale",  # noqa: A002
        name: str | None = None,
        *,
        keep_metadata: bool = False,
        **asked: Unpack[Asked],
    ) -> Workload:
        """Create an empty workload; ``filter`` is a name and parameters, as in blur:sigma=5.

        Results carry all metadata of their originals, place and owner too, if ``keep_metadata``.
        ``Asked`` names what else may be asked for.
        """
        wanted: dict[str, object] = {"filter": filter, "keep_metadata": keep_metadata, **asked}
        if name is not None:
            wanted["workload_name"] = name
        return self._ask(
            "POST",
            "/workloads",
            Workload,
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(wanted),
        )

    def workload(self, workload_id: str) -> Workload:
        """The workload as it stands now."""
        return self._ask("GET", f"/workloads/{workload_id}", Workload)

    def retry(self, workload_id: str) -> Workload:
        """Have the failed images of the workload tried again."""
        return self._ask("POST", f"/workloads/{workload_id}/retry", Workload)

    def remove_workload(self, workload_id: str) -> None:
        """Cancel what has not run, and remove the workload with all of its images."""
        self._http.request("DELETE", f"/workloads/{workload_id}")

    def workloads(self) -> Iterator[WorkloadSummary]:
        """The caller's workloads, newest first, fetched page by page as they are asked for."""
        query: dict[str, object] = {"limit": _PAGE}
        while True:
            page = self._ask("GET", "/workloads", WorkloadsPage, query=query)
            yield from page.workloads
            if page.next is None:
                return
            query["before"] = page.next

    def upload(
        self,
        workload_id: str,
        picture: Path | bytes | BinaryIO,
        *,
        filename: str | None = None,
        key: str | None = None,
    ) -> str:
        """Send an original, and return its image id once it is durable on the server.

        A file is streamed from where it lies. The upload is repeated after a connection that broke
        midway: it has a key by which the server knows it again, ``key`` or one of its own. Raises
        ``OSError`` for a file that cannot be read to its end.
        """
        with opened(picture) as stream:
            form = UploadForm(
                stream,
                filename=filename or (picture.name if isinstance(picture, Path) else "picture"),
                fields={"workload_id": workload_id, "type": "original"},
            )
            headers = {**form.headers, IDEMPOTENCY_KEY: key or secrets.token_hex(16)}
            try:
                answer = self._ask("POST", "/images", UploadedImage, headers=headers, body=form)
            except CannotRead as unread:
                raise unread.error from None
        return answer.image_id

    def upload_all(
        self, workload_id: str, pictures: Sequence[Path]
    ) -> list[str | DpipError | OSError]:
        """Send a few originals, each as ``upload`` does: their image ids, or what went wrong.

        Where the image store is open, they go there, and one request tells the server of all.
        """
        if self._store is None:
            return [
                self._tried(workload_id, picture, secrets.token_hex(16)) for picture in pictures
            ]
        return self._upload_staged(self._store, workload_id, pictures)

    def results(
        self, workload_id: str, *, after: int = 0, limit: int = 1000, wait: float = 0.0
    ) -> tuple[Result, ...]:
        """What has settled behind position ``after``, oldest first.

        Waits up to ``wait`` seconds (30 at most) until there is something.
        """
        page = self._ask(
            "GET",
            f"/workloads/{workload_id}/results",
            ResultsPage,
            query={"after": after, "limit": limit, "wait": wait},
            patience=wait,
        )
        return page.results

    def remove_results(self, workload_id: str, through: int) -> None:
        """Remove what has settled up to position ``through``: originals, results and failures."""
        self._http.request(
            "DELETE", f"/workloads/{workload_id}/results", query={"through": through}
        )

    def follow(self, workload_id: str, count: int) -> Iterator[Result]:
        """Yield ``count`` results from the first on, each as soon as its original has settled."""
        after = 0
        while after < count:
            for result in self.results(
                workload_id, after=after, limit=min(1000, count - after), wait=_LONGEST_WAIT
            ):
                after = result.position
                yield result

    def download(self, image_id: str, target: Path | None = None) -> bytes | None:
        """Return the picture's bytes, or write them to ``target``.

        ``target`` appears whole or not at all; a file that is there is replaced.
        """
        if target is None:
            return self._http.request("GET", f"/images/{image_id}")
        with whole_file(target) as partial:
            self._download_to(image_id, partial)
        return None

    def download_result(self, workload: Workload, result: Result, target: Path) -> None:
        """Write the filtered image of a ``done`` result of ``workload`` to ``target``.

        It is read from the image store itself where that is open; its SHA-256 is checked there.
        Until this returns, what ``target`` holds may be a part of it.
        """
        assert result.filtered_image_id  # noqa: S101  # nosec B101 # for the type checker
        if not (self._store and _copied_out(self._store, workload, result, target)):
            self._download_to(result.filtered_image_id, target)

    def explain(self, image_id: str) -> Explanation:
        """Why an original, or what came of it, went where it did, or why it still waits."""
        return self._ask("GET", f"/images/{image_id}/explain", Explanation)

    def _download_to(self, image_id: str, target: Path) -> None:
        with target.open("wb") as sink:
            self._http.request("GET", f"/images/{image_id}", sink=sink)

    def _upload_staged(
        self, store: "DirectStore", workload_id: str, pictures: Sequence[Path]
    ) -> list[str | DpipError | OSError]:
        named = [(picture, secrets.token_hex(16), _staged(store, picture)) for picture in pictures]
        wanted = [{"name": name, "key": key} for _, key, name in named if name is not None]
        answers: Iterator[StagedPicture | DpipError]
        try:
            answers = iter(self._ask_staged(workload_id, wanted) if wanted else ())
        except DpipError as error:
            answers = repeat(error)
        finally:
            for each in wanted:
                store.forget(each["name"])
        return [
            self._settled(workload_id, picture, key, next(answers))
            if name is not None
            else self._tried(workload_id, picture, key)
            for picture, key, name in named
        ]

    def _ask_staged(
        self, workload_id: str, pictures: Sequence[Mapping[str, str]]
    ) -> tuple[StagedPicture, ...]:
        headers = {
            "Content-Type": "application/json",
            # Each has a key of its own; this says that all may be asked for again.
            IDEMPOTENCY_KEY: secrets.token_hex(16),
        }
        path = f"/workloads/{workload_id}/staged"
        body = msgspec.json.encode({"pictures": pictures})
        answers = self._ask("POST", path, StagedPictures, headers=headers, body=body).pictures
        if len(answers) != len(pictures):
            reason = f"{len(answers)} answers to {len(pictures)} pictures"
            raise UnexpectedAnswer(url=f"{self._http.url}{path}", reason=reason)
        return answers

    def _settled(
        self, workload_id: str, picture: Path, key: str, answer: StagedPicture | DpipError
    ) -> str | DpipError | OSError:
        if isinstance(answer, DpipError):
            return answer
        if answer.image_id is not None:
            return answer.image_id
        if answer.status in _TO_BE_SENT:  # One that was taken all the same is known by its key.
            return self._tried(workload_id, picture, key)
        return ApiRefused(code=answer.code or "", status=answer.status, detail=answer.detail or "")

    def _tried(self, workload_id: str, picture: Path, key: str) -> str | DpipError | OSError:
        try:
            return self.upload(workload_id, picture, key=key)
        except (DpipError, OSError) as error:
            return error

    def _tell(self, worker: str, command: str) -> WorkerReading:
        return self._ask("POST", f"/workers/{quote(worker, safe='')}/{command}", WorkerReading)

    def _ask(self, method: str, path: str, kind: type[T], **request: Any) -> T:
        content = self._http.request(method, path, **request)
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise UnexpectedAnswer(url=f"{self._http.url}{path}", reason=error) from error


def _staged(store: "DirectStore", picture: Path) -> str | None:
    try:
        return store.stage(picture)
    except OSError:  # Of the picture, or of a staging area that is full or gone: sending will tell.
        return None


def _copied_out(store: "DirectStore", workload: Workload, result: Result, target: Path) -> bool:
    if not (result.filtered_image_id and result.filtered_format and result.filtered_sha256):
        return False
    place = place_of_image(
        workload.name,
        workload.id,
        ImageKind.FILTERED,
        result.filtered_image_id,
        result.filtered_format,
    )
    try:
        return store.copy_out(place, result.filtered_sha256, target)
    except OSError:  # The API knows what is wrong.
        return False
