"""The uploads and downloads of a batch, by several threads at once."""

import errno
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path

from dpip.client.answers import Result, Workload
from dpip.client.api_client import Client
from dpip.client.report import PictureFailure, PictureNotes, Progress, Report, WorkerShare
from dpip.client.room import Removal, Room
from dpip.client.targets import Picture
from dpip.client.whole_file import whole_file
from dpip.errors import ApiRefused, DpipError, NoSpaceLeft

_WAIT_SECONDS = 2.0
_GATHER_SECONDS = 0.3
_NEARLY_DONE = 16
_MOST_AT_ONCE = 16
"""Pictures that one thread sends before it looks for what has come back."""

_Task = Callable[[], None]
"""Work on the wire."""


class Transfers:
    """What the threads of a batch do and share; ``over`` is set once nothing is left to do."""

    def __init__(
        self,
        client: Client,
        workload: Workload,
        pictures: Sequence[Picture],
        transfers: int,
        room: Room,
        removal: Removal | None,
    ) -> None:
        self.over = threading.Event()
        self.error: BaseException | None = None
        self._client = client
        self._workload = workload
        self._transfers = transfers
        self._room = room
        self._removal = removal
        self._total = len(pictures)
        self._changed = threading.Condition()
        self._to_upload = deque(pictures)
        self._to_download: deque[_Task] = deque()
        # An original and its result find each other here by image id, whichever is known first.
        self._uploaded: dict[str, Picture] = {}
        self._settled: dict[str, Result] = {}
        self._uploads = self._filtered = self._finished = 0
        self._unsettled = len(pictures)  # Not refused at upload, and no result is known.
        self._failures: list[PictureFailure] = []
        self._notes: list[PictureNotes] = []
        self._lost: DpipError | None = None
        self._times: dict[str, list[float]] = {}
        self._end_if_finished()

    def transfer(self) -> None:
        """Do downloads as they come up, and uploads as long as there are none."""
        while (task := self._next_task()) is not None:
            task()

    def follow(self) -> None:
        """Match what settles on the server with its picture, until all have."""
        after = 0
        while self._unsettled and not self.over.is_set():
            try:
                results = self._client.results(self._workload.id, after=after, wait=_WAIT_SECONDS)
            except DpipError as error:
                self._fail_all(error)
                return
            for result in results:
                after = result.position
                self._settle(result)
            if self._unsettled > _NEARLY_DONE:
                # Lets results gather, so that a busy server is not asked for each by itself.
                self.over.wait(_GATHER_SECONDS)

    def guard(self, work: Callable[[], None]) -> None:
        """Run ``work``; an error that nobody expects ends the batch."""
        try:
            work()
        except BaseException as error:
            self.error = error
            self.stop()

    def stop(self) -> None:
        """Have every thread end after what it is doing now."""
        with self._changed:
            self.over.set()
            self._changed.notify_all()

    def progress(self) -> Progress:
        """How far the batch has got."""
        with self._changed:
            return Progress(
                total=self._total,
                uploaded=self._uploads,
                filtered=self._filtered,
                finished=self._finished,
                failed=len(self._failures),
            )

    def a_waiting_image(self) -> str | None:
        """The id of the original that was uploaded first of those that have not settled."""
        with self._changed:
            return next(iter(self._uploaded), None)

    def report(self, seconds: float) -> Report:
        """What became of the batch, after ``seconds`` of wall time."""
        return Report(
            workload_id=self._workload.id,
            filtered=self._finished - len(self._failures),
            seconds=seconds,
            workers=tuple(
                WorkerShare(
                    worker=worker, pictures=len(times), milliseconds=sum(times) / len(times)
                )
                for worker, times in sorted(self._times.items())
            ),
            failures=tuple(sorted(self._failures, key=lambda failure: failure.source)),
            notes=tuple(sorted(self._notes, key=lambda noted: noted.source)),
        )

    def _next_task(self) -> _Task | None:
        with self._changed:
            while not self.over.is_set():
                if self._to_download:
                    return self._to_download.popleft()
                if self._removal and (through := self._removal.take_due()):
                    return partial(self._remove, through)
                if pictures := self._next_pictures():
                    return partial(self._upload, pictures)
                self._changed.wait()
        return None

    def _next_pictures(self) -> list[Picture]:
        # Few enough for every thread to have some; pictures on the wire have a request each anyway.
        share = -(-len(self._to_upload) // self._transfers)
        most = _MOST_AT_ONCE if self._client.is_direct else 1
        count = min(most, share)
        pictures: list[Picture] = []
        while len(pictures) < count and self._room.take(self._to_upload[0]):
            pictures.append(self._to_upload.popleft())
        return pictures

    def _upload(self, pictures: Sequence[Picture]) -> None:
        sources = [picture.source for picture in pictures]
        answers = self._client.upload_all(self._workload.id, sources)
        for picture, answer in zip(pictures, answers, strict=True):
            if isinstance(answer, ApiRefused) and answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
                raise answer
            if isinstance(answer, Exception):
                with self._changed:
                    self._unsettled -= 1
                    self._fail_by(picture, answer, picture.source)
            else:
                self._came_in(picture, answer)

    def _came_in(self, picture: Picture, image_id: str) -> None:
        with self._changed:
            if self._lost:
                self._fail_by(picture, self._lost, picture.source)
                return
            self._uploads += 1
            self._uploaded[image_id] = picture
            self._match(image_id)

    def _download(self, picture: Picture, result: Result) -> None:
        file = picture.target.parent
        try:
            file.mkdir(parents=True, exist_ok=True)
            file = picture.target
            with whole_file(
                file, replaces=picture.replaces, modified_ns=_modified(picture.source)
            ) as partial:
                self._client.download_result(self._workload, result, partial)
        except (DpipError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpaceLeft(folder=picture.target.parent) from error
            self._fail_by(picture, error, file)
            self._let_go(result, picture)
            return
        self._let_go(result, picture)
        with self._changed:
            self._times.setdefault(result.worker or "unknown", []).append(
                result.milliseconds or 0.0
            )
            if result.notes:
                self._notes.append(PictureNotes(source=picture.source, notes=result.notes))
            self._finish(picture)

    def _let_go(self, result: Result, picture: Picture) -> None:
        if self._removal:
            with self._changed:
                self._removal.finish(result.position, picture)

    def _remove(self, through: int) -> None:
        # What is not removed now goes with what comes next, or with the workload.
        with suppress(DpipError):
            self._client.remove_results(self._workload.id, through)

    def _settle(self, result: Result) -> None:
        with self._changed:
            if self._removal:
                self._removal.expect(result.position)
            self._settled[result.image_id] = result
            self._match(result.image_id)

    def _match(self, image_id: str) -> None:
        if image_id not in self._uploaded or image_id not in self._settled:
            return
        picture, result = self._uploaded.pop(image_id), self._settled.pop(image_id)
        self._unsettled -= 1
        if result.filtered_image_id is None:
            self._fail(picture, result.code or "failed", result.reason or "the server gives none")
            self._let_go(result, picture)
            return
        self._filtered += 1
        self._to_download.append(partial(self._download, picture, result))
        self._changed.notify()

    def _fail_by(self, picture: Picture, error: DpipError | OSError, file: Path) -> None:
        if isinstance(error, DpipError):
            self._fail(picture, error.code, str(error))
        else:
            self._fail(picture, "file_error", f"{file}: {error.strerror or error}")

    def _fail(self, picture: Picture, code: str, reason: str) -> None:
        with self._changed:
            self._failures.append(
                PictureFailure(source=picture.source, code=code, reason=reason.strip())
            )
            self._finish(picture)

    def _fail_all(self, error: DpipError) -> None:
        """Fail what is not back yet: the server is gone for good.

        What is on the wire at this moment fails by itself.
        """
        with self._changed:
            self._lost = error
            waiting = [*self._to_upload, *self._uploaded.values()]
            self._to_upload.clear()
            self._uploaded.clear()
            for picture in waiting:
                self._fail(picture, error.code, str(error))

    def _finish(self, picture: Picture) -> None:
        self._finished += 1
        self._room.free(picture)
        self._changed.notify()
        self._end_if_finished()

    def _end_if_finished(self) -> None:
        if self._finished == self._total:
            self.stop()


def _modified(source: Path) -> int | None:
    try:
        return source.stat().st_mtime_ns
    except OSError:  # It has gone meanwhile.
        return None
