"""A user of the system under test, who writes down all that they are told."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dpip.chaos.record import Record
from dpip.client import Client
from dpip.client.answers import Result
from dpip.errors import ApiRefused, ApiUnreachable
from dpip.model.job import JobState

T = TypeVar("T")

_UPLOADERS = 4
_MOST_IN_FLIGHT = 200
_WAIT_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.2
_COME_BACK_LATER = (429, 503, 507)


class User:
    """Uploads ``jobs`` pictures to one workload, again and again the same few, and follows them.

    An upload that was not acknowledged is repeated under its key. ``settled`` is how many originals
    have been seen done or failed; failed ones are tried again, as their owner may.
    """

    def __init__(
        self,
        client: Client,
        pictures: Sequence[Path],
        record: Record,
        *,
        filter: str,  # noqa: A002
        jobs: int,
        patience: float,
    ) -> None:
        self._client = client
        self._pictures = [(picture, sha256(picture.read_bytes())) for picture in pictures]
        self._record = record
        self._filter = filter
        self._jobs = jobs
        self._patience = patience
        self._workload_id = ""
        self._changed = threading.Condition()
        self._next = 0
        self._uploaded: list[str] = []
        self._settled: dict[str, JobState] = {}
        self._moved_at = time.monotonic()

    @property
    def settled(self) -> int:
        """How many different originals have been seen done or failed."""
        return len(self._settled)

    @property
    def files(self) -> int:
        """How many files the image directories hold if all that the user knows of is there."""
        done = sum(state is JobState.DONE for state in self._settled.values())
        return len(self._uploaded) + done + 2 * len(self._pictures)

    def see_clean_run(self) -> None:
        """Have each picture filtered once, before there are any faults, and note what comes out."""
        workload = self._client.create_workload(self._filter, "clean")
        sent = {
            self._client.upload(workload.id, picture): digest for picture, digest in self._pictures
        }
        for result in self._client.follow(workload.id, len(sent)):
            filtered = self._client.download(result.filtered_image_id or "")
            self._record.write(
                "clean", picture=sent[result.image_id], result=sha256(filtered or b"")
            )

    def begin(self) -> list[threading.Thread]:
        """Start to upload and to follow; the threads end when all is settled, or nothing moves."""
        self._workload_id = self._client.create_workload(self._filter, "chaos").id
        self._record.write("begin", jobs=self._jobs)
        self._moved_at = time.monotonic()
        threads = [
            threading.Thread(target=work, daemon=True, name=work.__name__)
            for work in [self._follow, *[self._upload] * _UPLOADERS]
        ]
        for thread in threads:
            thread.start()
        return threads

    def wait_for(self, settled: int) -> None:
        """Return when that many originals have settled, or nothing moves any more."""
        with self._changed:
            while len(self._settled) < settled and not self.gave_up:
                self._changed.wait(_LOOK_AGAIN_SECONDS)

    @property
    def gave_up(self) -> bool:
        """Whether nothing has moved for as long as the user is willing to wait."""
        return time.monotonic() - self._moved_at > self._patience

    def look_at_everything(self) -> None:
        """Note every result, listing, original and filtered picture as they stand now."""
        client, workload_id = self._client, self._workload_id
        after = 0
        while results := self._until_answered(client.results, workload_id, after=after):
            for result in results:
                after = result.position
                self._note("final", result)
                if result.filtered_image_id:
                    self._look_at("filtered", result.filtered_image_id)
        for image_id in self._uploaded:
            self._look_at("original", image_id)
        workload = self._until_answered(client.workload, workload_id)
        self._record.write("listed", filtered=workload.filtered_images)

    def _look_at(self, event: str, image_id: str) -> None:
        try:
            content = self._until_answered(self._client.download, image_id)
        except ApiRefused as error:
            self._record.write(event, image=image_id, sha256=None, code=error.code)
        else:
            self._record.write(event, image=image_id, sha256=sha256(content or b""))

    def _upload(self) -> None:
        while (number := self._next_number()) is not None:
            picture, digest = self._pictures[number % len(self._pictures)]
            key = f"job-{number}"
            image_id = self._until_answered(
                self._client.upload, self._workload_id, picture, key=key
            )
            self._record.write("uploaded", key=key, image=image_id, picture=digest)
            self._uploaded.append(image_id)

    def _next_number(self) -> int | None:
        with self._changed:
            while self._next - len(self._settled) >= _MOST_IN_FLIGHT and not self.gave_up:
                self._changed.wait(_LOOK_AGAIN_SECONDS)
            if self._next == self._jobs or self.gave_up:
                return None
            self._next += 1
            return self._next - 1

    def _follow(self) -> None:
        after = 0
        while self._not_done() and not self.gave_up:
            results = self._until_answered(
                self._client.results, self._workload_id, after=after, wait=_WAIT_SECONDS
            )
            for result in results:
                after = result.position
                self._note("seen", result)
            if results:
                self._take_in(results)
            elif len(self._settled) == self._jobs:
                self._record.write("retried", failed=self._not_done())
                self._until_answered(self._client.retry, self._workload_id)

    def _take_in(self, results: Sequence[Result]) -> None:
        with self._changed:
            self._settled.update({result.image_id: result.status for result in results})
            self._moved_at = time.monotonic()
            self._changed.notify_all()

    def _not_done(self) -> int:
        return self._jobs - sum(state is JobState.DONE for state in self._settled.values())

    def _note(self, event: str, result: Result) -> None:
        self._record.write(
            event,
            image=result.image_id,
            position=result.position,
            status=result.status,
            result=result.filtered_image_id,
            code=result.code,
        )

    def _until_answered(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Repeat ``call`` for as long as the API is away or not able to serve it."""
        give_up_at = time.monotonic() + self._patience
        while True:
            try:
                return call(*arguments, **options)
            except (ApiUnreachable, ApiRefused) as error:
                is_final = isinstance(error, ApiRefused) and error.status not in _COME_BACK_LATER
                if is_final or time.monotonic() > give_up_at:
                    raise
            time.sleep(_LOOK_AGAIN_SECONDS)


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
