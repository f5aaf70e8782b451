"""The files that a system keeps on its machine, besides the images."""

import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from dpip.errors import CannotStart
from dpip.model.ids import new_id


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


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
        return f"sqlite:///{quote(str(self.database.resolve()))}"

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
        if self.path.parts[:1] == ("~",):
            raise CannotStart(
                part="DPIP",
                reason="this user has no home directory for the data; name a directory with "
                "--data-dir or DPIP_DATA_DIR",
            )
        try:
            str(self.path.resolve()).encode()
        except UnicodeEncodeError as error:
            raise _cannot_use(self.path, "its name is not UTF-8") from error
        with _explained():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def check_database(self) -> None:
        """Raise ``CannotStart`` if the database cannot be opened or made by this user."""
        self.usable(self.path)
        for file in (self.database, *map(self.database.with_suffix, (".db-wal", ".db-shm"))):
            if file.is_dir():
                raise _cannot_use(file, os.strerror(errno.EISDIR))
            if file.exists() and not os.access(file, os.R_OK | os.W_OK):
                raise _cannot_use(file, _why_denied(file))

    def usable(self, directory: Path) -> Path:
        """Return ``directory``, one of these, made if need be.

        Raises ``CannotStart`` if this user cannot keep files there.
        """
        with _explained():
            directory.mkdir(exist_ok=True)
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise _cannot_use(directory, _why_denied(directory))
        return directory

    @contextmanager
    def held_by(self, part: str) -> Iterator[None]:
        """Be the only ``part`` that works on this directory. Raises ``CannotStart`` otherwise."""
        self.usable(self.path)
        with _explained():
            lock = (self.path / f"{part}.lock").open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CannotStart(
                    part=f"The {part}",
                    reason=f"another one works on {self.path}; stop it, or name another "
                    "directory with --data-dir or DPIP_DATA_DIR",
                ) from error
            yield

    @property
    def join_token_file(self) -> Path:
        """Where workers on this machine find the join token called ``local``."""
        return self.path / "join-token"

    def keep_join_token(self, text: str) -> None:
        """Put a join token where workers on this machine find it."""
        with _explained():
            fresh = self.path / f".join-token.{new_id()}"
            _write(fresh, text)
            fresh.replace(self.join_token_file)

    def known_join_token(self) -> str | None:
        """That join token, if there is one."""
        with _explained():
            return _read(self.join_token_file)

    def message_server_password(self) -> str:
        """What DPIP's own parts show to the message-passing server."""
        return self._secret("message-server-password")

    def signing_key(self, make: Callable[[], str]) -> str:
        """What the controller signs its answers to the message-passing server with."""
        return self._secret("message-server-signing-key", make)

    def admin_password(self) -> str:
        """The password of the first administrator, if it is to be generated."""
        return self._secret(self.admin_password_file.name)

    def _secret(self, name: str, make: Callable[[], str] = _new_secret) -> str:
        with _explained():
            return self._known_or_made(self.path / name, make)

    def _known_or_made(self, path: Path, make: Callable[[], str]) -> str:
        if (known := _read(path)) is not None:
            return known
        fresh = path.with_name(f".{path.name}.{new_id()}")
        _write(fresh, make())
        try:
            # Of two parts that start together, one makes the secret and both use it.
            path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_text().strip()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
        raise _cannot_use(error.filename, os.strerror(number or 0)) from error


def _cannot_use(path: object, why: str) -> CannotStart:
    return CannotStart(
        part="DPIP",
        reason=f"{path} cannot be used ({why}); let this user read and write in the data "
        "directory, or name another with --data-dir or DPIP_DATA_DIR",
    )


def _why_denied(path: Path) -> str:
    is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if is_read_only else errno.EACCES)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _write(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{content}\n")
