"""The processes of the system under test."""

import contextlib
import signal
import subprocess  # nosec B404 # runs our own programs alone
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from dpip.supervision import die_with_parent

_RESTART_SECONDS = 0.5
_STOP_SECONDS = 60.0
_BUSY_SECONDS = 0.5
_LATE_SECONDS = 1.0
"""A thawed process is left alone for as long, to do the harm that it can do."""
_LOOK_AGAIN_SECONDS = 0.02
_NATS_SERVER = "nats-server"


class Part:
    """A ``dpip`` command that is started again whenever it ends, as an init system does."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "dpip", *arguments]
        self._environment = dict(environment)
        self._log = log
        self._log_before = 0
        self._down_seconds = _RESTART_SECONDS
        self._process: subprocess.Popen[bytes] | None = None
        self._up = threading.Event()
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._one_fault = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name=f"keep {name}", daemon=True)

    def start(self) -> None:
        """Start it, now and whenever it ends."""
        self._keeper.start()

    def stop(self) -> None:
        """Have it end for good, by SIGTERM; SIGKILL if that takes a minute."""
        with self._starting:
            self._stopping.set()
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            self._process.kill()
        self._keeper.join()

    def kill(self, down_seconds: float) -> None:
        """Kill it by SIGKILL; it is started again ``down_seconds`` later."""
        with self._one_fault:
            process = self._running()
            self._down_seconds = down_seconds
            process.kill()
            process.wait()

    def freeze(self, seconds: float, *, busy_after: str) -> None:
        """Stop it and its children by SIGSTOP, and have them go on after ``seconds``.

        Not before it has written the words ``busy_after`` to its log, and some time to work since.
        """
        with self._one_fault:
            while busy_after.encode() not in self._said() and not self._stopping.is_set():
                time.sleep(_LOOK_AGAIN_SECONDS)
            if self._stopping.wait(_BUSY_SECONDS):
                return
            process = psutil.Process(self._running().pid)
            frozen = [process, *process.children(recursive=True)]
            _signal(frozen, signal.SIGSTOP)
            time.sleep(seconds)
            _signal(frozen, signal.SIGCONT)
            time.sleep(_LATE_SECONDS)

    def kill_message_server(self) -> None:
        """Kill the nats-server that this part runs, which starts it again by itself."""
        while not self._stopping.is_set():
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(self._running().pid).children():
                    if child.name() == _NATS_SERVER:
                        child.kill()
                        return
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _said(self) -> bytes:
        """What it has written to its log since it was started last."""
        with self._log.open("rb") as log:
            log.seek(self._log_before)
            return log.read()

    def _running(self) -> subprocess.Popen[bytes]:
        self._up.wait()
        assert self._process is not None  # noqa: S101  # nosec B101 # for the type checker
        return self._process

    def _keep(self) -> None:
        while (process := self._spawn()) is not None:
            self._up.set()
            process.wait()
            self._up.clear()
            self._stopping.wait(self._down_seconds)
            self._down_seconds = _RESTART_SECONDS

    def _spawn(self) -> "subprocess.Popen[bytes] | None":
        """Start the process, unless it is to end for good."""
        with self._starting, self._log.open("ab") as output:
            if self._stopping.is_set():
                return None
            self._log_before = output.tell()
            self._process = subprocess.Popen(  # noqa: S603  # nosec B603 # our own program
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            return self._process


def _signal(processes: Sequence[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(what)
