"""``dpip``: all commands, and how their errors are shown."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
import typer.core

from dpip import __version__
from dpip.cli import join_token, parts, store, token, user, worker
from dpip.cli.bench import bench
from dpip.cli.certs import certs
from dpip.cli.chaos import chaos
from dpip.cli.config import config
from dpip.cli.explain import explain
from dpip.cli.nats_config import nats_config
from dpip.cli.output import say, say_each
from dpip.cli.predict import predict
from dpip.cli.run import run
from dpip.cli.simulate import simulate
from dpip.cli.streams import open_streams
from dpip.cli.torture import torture
from dpip.cli.up import up
from dpip.errors import BadSetting, DpipError, InvalidValue
from dpip.plain_text import plain


class _Commands(typer.core.TyperGroup):
    """Makes what errors of usage quote safe to show: file names that a shell has put in, say."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _plain_usage_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _plain_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _plain_usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = plain(error.message)
        raise


app = typer.Typer(
    cls=_Commands,
    help="Distributed and parallel image processing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(run)
app.command()(predict)
app.command()(explain)
app.command()(up)
app.add_typer(worker.app, name="worker")
app.command()(parts.controller)
app.command()(parts.scheduler)
app.command()(parts.api)
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(join_token.app, name="join-token")
app.add_typer(store.app, name="store")
app.command()(certs)
app.command()(bench)
app.command()(chaos)
app.command()(torture)
app.command()(simulate)
app.command()(config)
app.command("nats-config")(nats_config)


@app.callback(invoke_without_command=True)
def dpip(
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    """Show the version, or go on to the command."""
    if version:
        say(f"dpip {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command that the command line names."""
    open_streams()
    try:
        app()
    except Exception as error:
        say_each(*_explained(error), aside=True)
        sys.exit(2 if isinstance(error, BadSetting | InvalidValue) else 1)


def _explained(error: Exception) -> list[str]:
    """What is said of an error: a sentence, if it is one that is expected or about a file."""
    if isinstance(error, DpipError):
        return [f"dpip: {error}", *getattr(error, "__notes__", ())]
    if isinstance(error, OSError) and error.filename is not None:
        return [f"dpip: {error.filename}: {error.strerror}."]
    return traceback.format_exc().splitlines()
