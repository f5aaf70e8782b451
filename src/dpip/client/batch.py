"""A batch of pictures through one workload: uploads, filtering and downloads overlap."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Unpack

from dpip.client.answers import Workload
from dpip.client.api_client import Asked, Client
from dpip.client.report import Progress, Report
from dpip.client.room import Removal, Room
from dpip.client.targets import Picture
from dpip.client.transfers import Transfers

_PROGRESS_SECONDS = 0.1
_QUIET_SECONDS = 3.0
_STOP_SECONDS = 3.0


def filter_pictures(
    client: Client,
    pictures: Sequence[Picture],
    filter: str,  # noqa: A002
    *,
    name: str | None = None,
    keep_metadata: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    transfers: int = 8,
    **asked: Unpack[Asked],
) -> Report:
    """Send ``pictures`` through ``filter`` in a new workload and fetch what comes of them.

    Results carry all metadata of their originals, place and owner too, if ``keep_metadata``.
    ``asked`` is as ``create_workload`` takes it, the rest as ``filter_in_workload`` does. Raises
    what either raises.
    """
    workload = client.create_workload(filter, name, keep_metadata=keep_metadata, **asked)
    return filter_in_workload(
        client, workload, pictures, on_progress=on_progress, transfers=transfers
    )


def filter_in_workload(
    client: Client,
    workload: Workload,
    pictures: Sequence[Picture],
    *,
    keep: bool = True,
    max_bytes: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_wait: Callable[[str], None] = lambda _: None,
    transfers: int = 8,
) -> Report:
    """Send ``pictures`` through a new ``workload`` and fetch what comes of them.

    Unless ``keep``, pictures are removed from the server soon after they are back. No more than
    ``max_bytes`` of originals, or one, are on their way. ``transfers`` pictures are on the wire at
    once. ``on_progress`` is called from this thread, about ten times a second and at the end;
    ``on_wait`` whenever nothing has moved for 3 s, with the id of an original that waits. What goes
    wrong with one picture is in the report; a server that stays away fails all that are not back
    yet. Raises ``NoSpaceLeft`` where results go to a disk that is full, and ``ApiRefused`` if the
    server's is. An exception such as ``KeyboardInterrupt`` stops the transfers and is passed on.
    """
    begin = time.perf_counter()
    removal = None if keep else Removal(max_bytes and max_bytes // 4)
    batch = Transfers(client, workload, pictures, transfers, Room(max_bytes), removal)
    threads = [
        threading.Thread(target=batch.guard, args=(work,), name=work.__name__, daemon=True)
        for work in [batch.follow, *[batch.transfer] * transfers]
    ]
    try:
        for thread in threads:
            thread.start()
        _watch(batch, on_progress, on_wait)
    finally:
        batch.stop()
        # The follower may be waiting for the server; nothing depends on it any more.
        _join(threads[1:], _STOP_SECONDS)
    on_progress(batch.progress())
    if batch.error:
        raise batch.error
    return batch.report(time.perf_counter() - begin)


def _watch(
    batch: Transfers, on_progress: Callable[[Progress], None], on_wait: Callable[[str], None]
) -> None:
    before, moved_at = batch.progress(), time.monotonic()
    while not batch.over.wait(_PROGRESS_SECONDS):
        progress, now = batch.progress(), time.monotonic()
        on_progress(progress)
        if progress != before:
            before, moved_at = progress, now
        elif now - moved_at >= _QUIET_SECONDS and (image_id := batch.a_waiting_image()):
            on_wait(image_id)
            moved_at = time.monotonic()


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
