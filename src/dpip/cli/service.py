"""Runs a part of the system until it is told to stop, or some work on its datastore."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from dpip.config import Settings, load_settings
from dpip.errors import NotFound

if TYPE_CHECKING:
    from dpip.ports.datastore import Datastore

T = TypeVar("T")

DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", help="Directory of the database, the images and the secrets."),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
TlsCert = Annotated[
    str | None, typer.Option("--tls-cert", help="Certificate of the server, then its authority's.")
]
TlsKey = Annotated[str | None, typer.Option("--tls-key", help="Key of that certificate.")]
TlsCa = Annotated[
    str | None, typer.Option("--tls-ca", help="Certificate of the authority to trust.")
]
Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Listen beyond this machine without encryption."),
]
UserOnServer = Annotated[
    str | None,
    typer.Option(
        "--user",
        envvar="DPIP_USER",
        help="User on the server; the password is asked for or in DPIP_USER_PASSWORD, "
        "or DPIP_TOKEN holds a token.",
    ),
]
LogLevel = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")]


def expanded(path: Path) -> Path:
    """Return ``path`` under the home directory if it begins with a ``~`` that no shell has seen.

    Most shells leave one alone that stands behind ``=``, as in ``make demo IMAGES=~/Pictures``.
    """
    with contextlib.suppress(RuntimeError):  # There is no such user, or no home.
        return path if path.exists() else path.expanduser()
    return path


def settings_from(**arguments: object) -> Settings:
    """Return the settings, with what was given on the command line in front.

    Sections and names of ``arguments`` are separated by two underscores. From here on what the
    process writes is readable by its owner alone: passwords' hashes, strangers' pictures.
    """
    from dpip.cli.logs import write_logs

    os.umask(0o077)
    settings, _ = load_settings(
        {name.replace("__", "."): value for name, value in arguments.items()}
    )
    write_logs(settings.log_level)
    return settings


def on_datastore(
    data_dir: str | None, work: Callable[["Datastore"], Awaitable[T]], *, new: bool = False
) -> T:
    """Do ``work`` on the datastore; only a ``new`` one is made where there is none."""
    from dpip import compose

    settings = settings_from(data_dir=data_dir)
    if not new and not compose.has_datastore(settings):
        raise NotFound(kind="system in", id=str(settings.data_dir))

    async def run() -> T:
        async with compose.open_datastore(settings) as datastore:
            return await work(datastore)

    return asyncio.run(run())


async def _forever(_running: object) -> None:
    await asyncio.Event().wait()


def serve(
    part: AbstractAsyncContextManager[T],
    announce: Callable[[T], None] = lambda _: None,
    until: Callable[[T], Awaitable[None]] = _forever,
) -> None:
    """Run ``part`` until SIGINT, SIGTERM or SIGHUP; a second one ends the process at once.

    An error that ``until`` raises ends the part, and is raised.
    """
    import uvloop

    uvloop.run(_serve(part, announce, until))


async def _serve(
    part: AbstractAsyncContextManager[T],
    announce: Callable[[T], None],
    until: Callable[[T], Awaitable[None]],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    stopping_signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As it is under nohup.
        stopping_signals.append(signal.SIGHUP)
    for number in stopping_signals:
        loop.add_signal_handler(number, on_signal, number)
    starting = asyncio.ensure_future(part.__aenter__())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        if starting.cancelled() or starting.exception():
            return
    running = starting.result()
    async with AsyncExitStack() as entered:
        entered.push_async_exit(part)
        announce(running)
        ending = asyncio.ensure_future(until(running))
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            await ending
        ending.cancel()
