"""A running system tried with files of any kind: what becomes of each, and what is left of it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

import psutil
from msgspec import Struct

from dpip.client import Client
from dpip.client.answers import Result, Status
from dpip.errors import ApiRefused, DpipError
from dpip.model.worker import WorkerState

_TRANSFERS = 8
_WAIT_SECONDS = 10.0
_STUCK_SECONDS = 300.0
_STAYING = (WorkerState.ALIVE, WorkerState.PAUSED)
_HEARTBEAT_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.25
_SERVER_ERRORS = 500
# A gray pixel: what still comes back filtered when everything else is over.
_SOUND_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)


class Fate(StrEnum):
    """What became of a file."""

    FILTERED = "filtered"
    REFUSED = "refused"
    FAILED = "failed"
    LOST = "lost"


class Trial(Struct, frozen=True, kw_only=True):
    """One file and its fate.

    A ``refused`` one has the ``status`` and the code of the answer, a ``failed`` one the code of
    its job. ``lost`` is what got no answer, or was taken in and is not settled.
    """

    name: str
    fate: Fate
    status: int | None = None
    code: str | None = None
    reason: str | None = None

    @property
    def is_error_of_the_server(self) -> bool:
        """Whether it is the system that was at fault."""
        return self.fate is Fate.LOST or (self.status or 0) >= _SERVER_ERRORS


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of all files, after ``seconds`` of wall time, and what the system is like.

    ``workers_lost`` are those whose process is not the one that it was, and ``processes_lost`` what
    has ended of the ``processes`` that were watched. ``goes_on`` tells that a sound picture is
    filtered after all of this, which takes API, controller and scheduler.
    """

    trials: tuple[Trial, ...]
    workers: int
    workers_lost: tuple[str, ...]
    processes: int
    processes_lost: tuple[int, ...]
    goes_on: bool
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every part is alive, and no answer was an error of the server.

        Of a system without workers nothing is known.
        """
        faults = any(trial.is_error_of_the_server for trial in self.trials)
        lost = self.workers_lost or self.processes_lost
        return self.goes_on and self.workers > 0 and not lost and not faults


def try_system(
    client: Client,
    files: Iterable[tuple[str, Path | bytes]],
    filter: str,  # noqa: A002
    *,
    workers: int = 1,
    processes: Sequence[psutil.Process] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """Send ``files``, each with its name, through ``filter`` in a workload that is removed again.

    So many ``workers`` are waited for, for a while. ``processes`` are those of the system that can
    be watched from here, and ``on_progress`` is called with the number of files that have been
    answered. Raises ``DpipError`` if the system cannot be used to begin with, and ``OSError`` if a
    file cannot be read.
    """
    begin = time.perf_counter()
    _filters_a_sound_picture(client)  # By then a worker has joined, in a system just started too.
    before = _joined(client, workers)
    workload = client.create_workload(filter, "torture")
    try:
        uploads = _Uploads(client, workload.id, files, on_progress)
        uploads.run()
        trials = [*uploads.refused, *_fates(client, workload.id, uploads.accepted)]
        goes_on, lost = _what_is_left(client, before)
    finally:
        with contextlib.suppress(DpipError):
            client.remove_workload(workload.id)
    return Verdict(
        trials=tuple(sorted(trials, key=lambda trial: trial.name)),
        workers=len(before),
        workers_lost=lost,
        processes=len(processes),
        processes_lost=tuple(each.pid for each in processes if not _is_alive(each)),
        goes_on=goes_on,
        seconds=time.perf_counter() - begin,
    )


class _Uploads:
    """Sends files over several connections at once."""

    def __init__(
        self,
        client: Client,
        workload_id: str,
        files: Iterable[tuple[str, Path | bytes]],
        on_progress: Callable[[int], None],
    ) -> None:
        self.accepted: dict[str, str] = {}
        """Names of what was taken in, by image id."""
        self.refused: list[Trial] = []
        self._client = client
        self._workload_id = workload_id
        self._files = iter(files)
        self._on_progress = on_progress
        self._turn = threading.Lock()
        self._over = False
        """Whether nothing more is to be sent."""

    def run(self) -> None:
        """Return once every file has been answered, or the API answers no more.

        Raises ``OSError`` if a file cannot be read.
        """
        with ThreadPoolExecutor(_TRANSFERS) as threads:
            try:
                list(threads.map(self._send_all, range(_TRANSFERS)))
            finally:
                self._over = True  # Interrupted, or one of them failed: the others end too.

    def _send_all(self, _: int) -> None:
        while not self._over:
            with self._turn:
                file = next(self._files, None)
                self._on_progress(len(self.accepted) + len(self.refused))
            if file is None:
                return
            self._send(*file)

    def _send(self, name: str, content: Path | bytes) -> None:
        try:
            image_id = self._client.upload(self._workload_id, content, filename="picture")
        except ApiRefused as error:
            refusal = Trial(
                name=name,
                fate=Fate.REFUSED,
                status=error.status,
                code=error.code,
                reason=str(error),
            )
        except DpipError as error:
            self._over = True
            refusal = Trial(name=name, fate=Fate.LOST, reason=str(error))
        else:
            self.accepted[image_id] = name
            return
        self.refused.append(refusal)


def _fates(client: Client, workload_id: str, names: dict[str, str]) -> Iterator[Trial]:
    """What became of the images in ``names``, which is asked for until nothing more happens."""
    missing = dict(names)
    after, give_up_at = 0, time.monotonic() + _STUCK_SECONDS
    try:
        while missing and time.monotonic() < give_up_at:
            for result in client.results(workload_id, after=after, wait=_WAIT_SECONDS):
                after, give_up_at = result.position, time.monotonic() + _STUCK_SECONDS
                if name := missing.pop(result.image_id, None):
                    yield _settled(name, result)
    except DpipError as error:
        reason = str(error)
    else:
        reason = f"It was taken in, and nothing came of it within {_STUCK_SECONDS:g} s."
    for name in missing.values():
        yield Trial(name=name, fate=Fate.LOST, reason=reason)


def _settled(name: str, result: Result) -> Trial:
    if result.filtered_image_id is not None:
        return Trial(name=name, fate=Fate.FILTERED)
    return Trial(name=name, fate=Fate.FAILED, code=result.code, reason=result.reason)


def _joined(client: Client, workers: int) -> dict[str, str]:
    give_up_at = time.monotonic() + _HEARTBEAT_PATIENCE_SECONDS
    while len(found := _instances(client.status())) < workers and time.monotonic() < give_up_at:
        time.sleep(_POLL_SECONDS)
    return found


def _what_is_left(client: Client, before: dict[str, str]) -> tuple[bool, tuple[str, ...]]:
    """Whether a sound picture is still filtered, and which workers are not what they were.

    Workers are asked once each has been heard of after that picture, or is not heard of any more.
    """
    try:
        goes_on = _filters_a_sound_picture(client)
        now = client.status()
        heard_of_since = now.server_time
        give_up_at = time.monotonic() + _HEARTBEAT_PATIENCE_SECONDS
        while any(
            worker.last_seen <= heard_of_since and worker.state in _STAYING
            for worker in now.workers
        ):
            if time.monotonic() > give_up_at:
                break
            time.sleep(_POLL_SECONDS)
            now = client.status()
    except DpipError:
        return False, tuple(before)
    after = _instances(now)
    lost = tuple(name for name, instance in before.items() if after.get(name) != instance)
    return goes_on, lost


def _filters_a_sound_picture(client: Client) -> bool:
    workload = client.create_workload(name="torture: a sound picture")
    image_id = client.upload(workload.id, _SOUND_PICTURE)
    (sound,) = _fates(client, workload.id, {image_id: "a sound picture"})
    client.remove_workload(workload.id)
    return sound.fate is Fate.FILTERED


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _instances(status: Status) -> dict[str, str]:
    return {worker.name: worker.instance for worker in status.workers if worker.state in _STAYING}
