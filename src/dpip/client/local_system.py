"""A whole system of its own for as long as it is needed, run by ``dpip up``."""

import contextlib
import os
import secrets
import subprocess  # nosec B404 # runs our own programs alone
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip.errors import CannotStart
from dpip.supervision import die_with_parent

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 20


class LocalSystem(Struct, frozen=True, kw_only=True):
    """Where a system that was started listens, the administrator it knows, and its images."""

    api: str
    user: str
    password: str
    images: Path


class _Ready(Struct, frozen=True):
    """The line that ``dpip up --json`` prints once it is ready."""

    api: str
    user: str


@contextmanager
def local_system(
    *, workers: int | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[LocalSystem]:
    """Start a system on free ports with a temporary data directory; stop and remove it at the end.

    It has ``workers`` workers, one a core by default. Of the ``DPIP_*`` variables it sees only
    ``settings``, so that it touches no other system. Raises ``CannotStart`` with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="dpip-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        config = home / "dpip.toml"
        config.touch()
        password = secrets.token_urlsafe(16)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DPIP_")},
            **(settings or {}),
            "DPIP_ADMIN_PASSWORD": password,
            "DPIP_CONFIG": str(config),
            # What a part that is killed leaves behind goes with the directory.
            "TMPDIR": directory,
        }
        log = home / "up.log"
        with (
            log.open("wb") as log_stream,
            subprocess.Popen(  # noqa: S603  # nosec B603 # our own program
                _command(home / "data", workers),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_stream,
                env=environment,
                # Ctrl-C in a terminal reaches this process alone, which stops the system in order.
                start_new_session=True,
                preexec_fn=die_with_parent,
            ) as process,
        ):
            try:
                ready = _until_ready(process, log)
                yield LocalSystem(
                    api=ready.api,
                    user=ready.user,
                    password=password,
                    images=home / "data" / "images",
                )
            finally:
                _stop(process)


def _command(data_dir: Path, workers: int | None) -> list[str]:
    command = [sys.executable, "-m", "dpip", "up", "--json", "--host", "127.0.0.1"]
    command += ["--port", "0", "--controller-port", "0", "--data-dir", str(data_dir)]
    return command if workers is None else [*command, "--workers", str(workers)]


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> _Ready:
    # A system that hangs is killed, which ends the wait for its line.
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline() if process.stdout else b""
    finally:
        timer.cancel()
    try:
        return msgspec.json.decode(line, type=_Ready)
    except msgspec.DecodeError as error:
        _stop(process)
        last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        failure = CannotStart(
            part="A system for this command",
            reason="it ended early; its log ends as follows" if last else "it wrote no log",
        )
        for words in last:
            failure.add_note(words)
        raise failure from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    finally:  # Also if somebody is too impatient to wait.
        process.kill()
