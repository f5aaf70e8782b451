"""How a command comes by a client that is logged in."""

import contextlib
import getpass
import ipaddress
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.console import Console

from dpip.cli.output import say_each
from dpip.client import Client
from dpip.client.local_system import local_system
from dpip.config import Setting, load_settings
from dpip.data_directory import DataDirectory
from dpip.errors import DpipError
from dpip.plain_text import plain

_SETTINGS_OF_A_LOCAL_SYSTEM = ("direct_store", "worker", "limits", "lease")


@contextmanager
def connected(
    server: str | None,
    *,
    user: str | None = None,
    workers: int | None = None,
    tls_ca: str | None = None,
) -> Iterator[Client]:
    """Give a client of ``server`` or, without one, of a system started for as long as it is used.

    Who the caller is on ``server`` is told by ``DPIP_TOKEN``; by ``user`` and
    ``DPIP_USER_PASSWORD``; by the administrator's password in the data directory, for a server on
    this machine; or at a prompt, on a terminal.
    """
    settings, found = load_settings({"tls_ca": tls_ca})
    is_direct = settings.direct_store == "auto"
    if server is None:
        with _started(workers, variables_of_a_local_system(found), is_direct=is_direct) as client:
            yield client
        return
    token = os.environ.get("DPIP_TOKEN")
    data = DataDirectory(settings.data_dir)
    with Client(server, token=token, tls_ca=settings.tls_ca) as client:
        if token is None:
            client.login(*_credentials(server, user, settings.admin_user, data.admin_password_file))
        if is_direct:
            client.use_store(data.images)
        yield client
        if token is None:
            with contextlib.suppress(DpipError):
                client.logout()


def refuse_usage(sentences: Sequence[str]) -> typer.Exit:
    """Say on standard error what is wrong with the command line; the answer is to be raised."""
    say_each(*sentences, aside=True)
    return typer.Exit(2)


@contextmanager
def _started(
    workers: int | None, variables: dict[str, str], *, is_direct: bool
) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        with Console(stderr=True).status("Starting API, controller, scheduler and workers"):
            system = stack.enter_context(local_system(workers=workers, settings=variables))
        client = stack.enter_context(Client(system.api))
        client.login(system.user, system.password)
        if is_direct:
            client.use_store(system.images)
        yield client


def variables_of_a_local_system(found: Sequence[Setting]) -> dict[str, str]:
    """The settings that hold for it too, in whatever place they were given, as variables."""
    return {
        f"DPIP_{setting.name.replace('.', '__').upper()}": str(setting.value)
        for setting in found
        if setting.source != "default" and setting.name.split(".")[0] in _SETTINGS_OF_A_LOCAL_SYSTEM
    }


def _credentials(server: str, user: str | None, admin: str, password_file: Path) -> tuple[str, str]:
    password = os.environ.get("DPIP_USER_PASSWORD")
    if user and password is not None:
        return user, password
    if user in (None, admin) and _is_here(server) and os.access(password_file, os.R_OK):
        return admin, password_file.read_text().strip()
    if not sys.stdin.isatty():
        raise refuse_usage(
            [
                f"{server} needs a login: set DPIP_TOKEN, or give --user (or DPIP_USER) and "
                "set DPIP_USER_PASSWORD, or run this on a terminal to be asked."
            ]
        )
    user = user or typer.prompt("User", err=True)
    return user, password if password is not None else getpass.getpass(
        f"Password of {plain(user)}: "
    )


def _is_here(server: str) -> bool:
    host = urlsplit(server if "://" in server else f"http://{server}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
