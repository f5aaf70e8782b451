"""Other programs for the same work, each a program of ``bench/peers`` that starts it.

What they are told and answer is written in ``bench/peers/shared/peer.py``.
"""

import os
import queue
import signal
import subprocess  # nosec B404 # runs our own programs alone
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip.bench.contest import CannotTakePart, LeftOut
from dpip.client.batch import Picture
from dpip.filters.pipeline import parse_pipeline

# Of a checkout; an installed package has none.
PEERS = Path(__file__).parents[3] / "bench" / "peers"

_START_SECONDS = 600.0  # The first time, it is installed.
_TURN_SECONDS = 60.0
_STOP_SECONDS = 20.0


class _Answer(Struct, frozen=True):
    ready: str | None = None
    seconds: float | None = None
    left_out: str | None = None


class Peer:
    """A contender that is a process, told its jobs line by line."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        """Wait until it is ready. Raises ``CannotTakePart``."""
        self.name = name
        self._process = process
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.how = self._answer(_START_SECONDS).ready or ""

    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        """Have it filter all pictures.

        Raises ``CannotTakePart`` for a filter that it does not have, or if it takes a minute.
        """
        steps = msgspec.to_builtins(parse_pipeline(filter).steps)
        pairs = [(str(picture.source), str(picture.target)) for picture in pictures]
        job = msgspec.json.encode({"steps": steps, "pictures": pairs})
        if self._process.stdin is None or self._process.poll() is not None:
            raise CannotTakePart(name=self.name, reason="it was stopped")
        self._process.stdin.write(job + b"\n")
        self._process.stdin.flush()
        return self._answer(_TURN_SECONDS).seconds or 0.0

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(b"")

    def _answer(self, seconds: float) -> _Answer:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            _stop(self._process)
            reason = f"it took longer than {seconds:g} s"
            raise CannotTakePart(name=self.name, reason=reason) from None
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError:
            raise CannotTakePart(name=self.name, reason="it has ended") from None
        if answer.left_out is not None:
            raise CannotTakePart(name=self.name, reason=answer.left_out)
        return answer


@contextmanager
def running_peers(
    on_start: Callable[[str], None], folder: Path = PEERS
) -> Iterator[tuple[list[Peer], list[LeftOut]]]:
    """Start every program of ``folder``, and stop them at the end; who cannot start is left out.

    ``on_start`` is called with each name: the first start of one may take minutes.
    """
    peers, left_out = [], []
    processes = []
    try:
        for program in sorted(folder.glob("*.py")):
            name = program.stem.replace("_", " ")
            on_start(name)
            processes.append(_started(program))
            try:
                peers.append(Peer(name, processes[-1]))
            except CannotTakePart as refusal:
                left_out.append(LeftOut(name=name, reason=str(refusal.facts["reason"])))
        if not processes:
            reason = f"there is no {folder}; they come with the source code"
            left_out.append(LeftOut(name="peers", reason=reason))
        yield peers, left_out
    finally:
        for process in processes:
            _stop(process)


def _started(program: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  # nosec B603 # a program of the checkout
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # So that all that it has started can be ended.
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS if process.poll() is None else 0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
