"""Other programs for the same work, each a program of ``bench/peers`` that starts it.

What they are told and answer is written in ``bench/peers/shared/peer.py``.
"""

import contextlib
import os
import queue
import signal
import subprocess  # nosec B404 # runs our own programs alone
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip.bench.contest import CannotTakePart, LeftOut
from dpip.client.targets import Picture
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

    def __init__(self, program: Path) -> None:
        self.name = program.stem.replace("_", " ")
        self.how = ""
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def start(self) -> None:
        """Return when it is ready. Raises ``CannotTakePart``."""
        self._lines = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603  # nosec B603 # a program of the checkout
            [sys.executable, str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # So that all that it has started can be ended.
        )
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
        self.how = self._answer(_START_SECONDS).ready or ""

    def stop(self) -> None:
        """Have it stop all that it has started; kill it, if it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):  # It has ended already.
                process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        """Have it filter all pictures; start it again, if it was stopped.

        Raises ``CannotTakePart`` for a filter that it does not have, or if it takes a minute.
        """
        if self._process is None:
            self.start()
        steps = msgspec.to_builtins(parse_pipeline(filter).steps)
        pairs = [(str(picture.source), str(picture.target)) for picture in pictures]
        self._write(msgspec.json.encode({"steps": steps, "pictures": pairs}))
        return self._answer(_TURN_SECONDS).seconds or 0.0

    def _write(self, job: bytes) -> None:
        stream = self._process.stdin if self._process else None
        try:
            if stream:
                stream.write(job + b"\n")
                stream.flush()
        except OSError as error:
            self.stop()
            raise CannotTakePart(name=self.name, reason="it has ended") from error

    def _answer(self, seconds: float) -> _Answer:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            reason = f"it took longer than {seconds:g} s"
            raise CannotTakePart(name=self.name, reason=reason) from None
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError:
            self.stop()
            raise CannotTakePart(name=self.name, reason="it has ended") from None
        if answer.left_out is not None:
            raise CannotTakePart(name=self.name, reason=answer.left_out)
        return answer


def _read(process: "subprocess.Popen[bytes]", lines: "queue.SimpleQueue[bytes]") -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(b"")  # It has ended.


@contextmanager
def running_peers(
    on_start: Callable[[str], None], folder: Path = PEERS
) -> Iterator[tuple[list[Peer], list[LeftOut]]]:
    """Start every program of ``folder``, and stop them at the end; who cannot start is left out.

    ``on_start`` is called with each name: the first start of one may take minutes.
    """
    ready, left_out = [], []
    with ExitStack() as stack:
        for program in sorted(folder.glob("*.py")):
            peer = Peer(program)
            stack.callback(peer.stop)
            on_start(peer.name)
            try:
                peer.start()
                ready.append(peer)
            except CannotTakePart as refusal:
                left_out.append(LeftOut(name=peer.name, reason=str(refusal.facts["reason"])))
        if not ready and not left_out:
            reason = f"there is no {folder}; they come with the source code"
            left_out.append(LeftOut(name="peers", reason=reason))
        yield ready, left_out
