"""The limit that DPIP is measured against: the same pictures in a bare loop over all cores."""

import contextlib
import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from time import perf_counter
from types import TracebackType
from typing import Self

from dpip.client.batch import Picture
from dpip.errors import DpipError


class BareLoop:
    """``processes`` warm processes that filter files to files: no network, no queue, no database.

    Every process takes the next picture as soon as it is done with the last.
    """

    def __init__(self, pictures: Sequence[Picture], filter: str, processes: int) -> None:  # noqa: A002
        context = multiprocessing.get_context("spawn")
        self._next: Synchronized[int] = context.Value("i", 0)
        self._connections: list[Connection] = []
        self._far_ends: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            self._connections.append(ours)
            self._far_ends.append(theirs)
            self._processes.append(
                context.Process(
                    target=_serve, args=(theirs, self._next, list(pictures), filter), daemon=True
                )
            )

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for connection in self._far_ends:
            connection.close()  # So that a process that dies is noticed.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.join()

    def run(self) -> float:
        """Filter every picture once; the seconds it took. One that fails leaves no file."""
        self._next.value = 0
        begin = perf_counter()
        for connection in self._connections:
            connection.send(None)
        for connection in self._connections:
            connection.recv()
        return perf_counter() - begin


def _serve(
    connection: Connection, following: "Synchronized[int]", pictures: Sequence[Picture], text: str
) -> None:
    from dpip.filters.picture import filter_picture
    from dpip.filters.pipeline import parse_pipeline
    from dpip.formats import read_header

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends this process.
    pipeline = parse_pipeline(text)
    while True:
        connection.recv()
        while (index := _take(following)) < len(pictures):
            picture = pictures[index]
            with contextlib.suppress(DpipError, OSError):
                with picture.source.open("rb") as file:
                    header = read_header(file)
                filter_picture(picture.source, picture.target, pipeline, header.format)
        connection.send(None)


def _take(following: "Synchronized[int]") -> int:
    with following.get_lock():
        following.value += 1
        return following.value - 1
