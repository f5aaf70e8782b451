"""The bare loop: warm processes over all cores that filter files to files."""

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

from msgspec import Struct

from dpip.client.targets import Picture
from dpip.errors import DpipError
from dpip.model.image import PictureFormat


class Task(Struct, frozen=True):
    """A picture, and which of ``WAYS`` filters it."""

    picture: Picture
    format: PictureFormat
    way: int


class LoopEnded(DpipError):
    """A process of the bare loop is gone, so that there is no limit to compare with."""

    code = "loop_ended"
    sentence = (
        "A process of the bare loop has ended while it filtered by {filter}: it was killed, or a "
        "library crashed on a picture."
    )


class BareLoop:
    """``processes`` warm processes that filter files to files: no network, no queue, no database.

    Every process takes the next picture as soon as it is done with the last.
    """

    def __init__(self, processes: int) -> None:
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
                context.Process(target=_serve, args=(theirs, self._next), daemon=True)
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

    def run(self, tasks: Sequence[Task], filter: str) -> float:  # noqa: A002
        """Filter every picture once; the seconds it took. One that fails leaves no file.

        That the processes are told their tasks is not counted. Raises ``LoopEnded``.
        """
        self._next.value = 0
        try:
            for connection in self._connections:
                connection.send((list(tasks), filter))
            for connection in self._connections:
                connection.recv()
            begin = perf_counter()
            for connection in self._connections:
                connection.send(None)
            for connection in self._connections:
                connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise LoopEnded(filter=filter) from error
        return perf_counter() - begin


def _serve(connection: Connection, following: "Synchronized[int]") -> None:
    from dpip.bench.ways import WAYS
    from dpip.filters.pipeline import parse_pipeline

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends this process.
    while True:
        tasks, text = connection.recv()
        pipeline = parse_pipeline(text)
        connection.send(None)
        connection.recv()
        while (index := _take(following)) < len(tasks):
            task = tasks[index]
            # Whatever a library raises for a picture that it cannot read.
            with contextlib.suppress(Exception):
                WAYS[task.way].filter(
                    task.picture.source, task.picture.target, pipeline, task.format
                )
        connection.send(None)


def _take(following: "Synchronized[int]") -> int:
    with following.get_lock():
        following.value += 1
        return following.value - 1
