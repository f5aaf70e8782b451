"""The files that a system keeps on its machine, besides the images."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpip.errors import CannotStart
from dpip.model.ids import new_id


class DataDirectory:
    """``dpip.db``, ``images/``, ``message-server/`` and the secrets, each readable by its owner.

    A secret that is not there is made when it is first asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def database(self) -> Path:
        """The database, unless the settings name another."""
        return self.path / "dpip.db"

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return f"sqlite:///{self.database.resolve()}"

    @property
    def images(self) -> Path:
        """The directory of the image store."""
        return self.path / "images"

    @property
    def message_server(self) -> Path:
        """The directory of the embedded message-passing server."""
        return self.path / "message-server"

    @property
    def admin_password_file(self) -> Path:
        """Where the generated password of the first administrator is kept."""
        return self.path / "admin-password"

    def create(self) -> None:
        """Make the directory. Raises ``CannotStart`` where that is not possible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CannotStart(
                part="DPIP",
                reason=f"the data directory {self.path} cannot be made ({error.strerror}); "
                "name another with --data-dir or DPIP_DATA_DIR",
            ) from error

    @contextmanager
    def held_by(self, part: str) -> Iterator[None]:
        """Be the only ``part`` that works on this directory. Raises ``CannotStart`` otherwise."""
        with (self.path / f"{part}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CannotStart(
                    part=f"The {part}",
                    reason=f"another one works on {self.path}; stop it, or name another "
                    "directory with --data-dir or DPIP_DATA_DIR",
                ) from error
            yield

    def join_token(self) -> str:
        """What workers show to join."""
        return self._secret("join-token")

    def message_server_password(self) -> str:
        """What DPIP's own parts show to the embedded message-passing server."""
        return self._secret("message-server-password")

    def known_join_token(self) -> str | None:
        """The join token if there is one, for a worker, which makes none."""
        return _read(self.path / "join-token")

    def admin_password(self) -> str:
        """The password of the first administrator, if it is to be generated."""
        return self._secret(self.admin_password_file.name)

    def _secret(self, name: str) -> str:
        path = self.path / name
        if (known := _read(path)) is not None:
            return known
        fresh = self.path / f".{name}.{new_id()}"
        _write(fresh, secrets.token_urlsafe(32))
        try:
            # Of two parts that start together, one makes the secret and both use it.
            path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_text().strip()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _write(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{content}\n")
