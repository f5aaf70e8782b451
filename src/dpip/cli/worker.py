"""``dpip worker``: a worker that joins a controller here or on another machine, and what an
administrator does about workers.
"""

import re
import socket
from typing import Annotated

import typer

from dpip.cli.output import say
from dpip.cli.service import DataDir, LogLevel, TlsCa, on_datastore, serve, settings_from
from dpip.errors import NotFound
from dpip.model.worker import Command

app = typer.Typer()

Name = Annotated[str, typer.Argument(help="Name of the worker.")]


@app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    controller: Annotated[
        str | None, typer.Option(help="Where to join: <host>:<port> of the controller.")
    ] = None,
    worker_name: Annotated[
        str | None,
        typer.Option("--worker-name", help="Its name; by default made of the host's and the pid."),
    ] = None,
    tags: Annotated[
        str, typer.Option(help="What it is good for, separated by commas: gpu,fast.")
    ] = "",
    slots: Annotated[
        int | None, typer.Option(min=1, help="Pictures that it filters at once.")
    ] = None,
    pause_when_load_above: Annotated[
        float | None,
        typer.Option(help="Pause while other programs load the machine more than this, 0 to 1."),
    ] = None,
    hours: Annotated[
        str | None, typer.Option(help="When to work, by local time: 20:00-08:00,12:00-13:00.")
    ] = None,
    yield_gpu: Annotated[
        bool | None,
        typer.Option("--yield-gpu", help="Pause while another program uses a GPU of the machine."),
    ] = None,
    data_dir: DataDir = None,
    tls_ca: TlsCa = None,
    log_level: LogLevel = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", hidden=True, help="How dpip up starts it: join when standard input ends."
        ),
    ] = False,
) -> None:
    """Run a worker. The join token is in DPIP_JOIN_TOKEN or in the data directory."""
    if context.invoked_subcommand:
        return _refuse_options(context)
    settings = settings_from(
        controller=controller,
        worker__slots=slots,
        worker__pause_when_load_above=pause_when_load_above,
        worker__hours=hours,
        worker__yield_gpu=yield_gpu,
        data_dir=data_dir,
        tls_ca=tls_ca,
        log_level=log_level,
    )
    import structlog

    from dpip import compose

    name = _default_name() if worker_name is None else worker_name
    structlog.contextvars.bind_contextvars(worker=name)
    serve(
        compose.worker(settings, name, _split(tags), local=local),
        until=lambda agent: agent.until_over(),
    )


@app.command()
def release(name: Name, data_dir: DataDir = None) -> None:
    """Let a worker join again that is quarantined for its results."""
    from dpip.ports.clock import SystemClock

    now = SystemClock().now()
    if not on_datastore(data_dir, lambda datastore: datastore.release_worker(name, now)):
        raise NotFound(kind="quarantined worker", id=name)
    say(f"Released {name}.")


@app.command()
def pause(name: Name, data_dir: DataDir = None) -> None:
    """Have a worker finish what it has begun and take no more, until it is to resume."""
    _tell(data_dir, name, Command.PAUSE)
    say(f"{name} pauses until 'dpip worker resume {name}'.")


@app.command()
def resume(name: Name, data_dir: DataDir = None) -> None:
    """Have a worker that was to pause work again."""
    _tell(data_dir, name, None)
    say(f"{name} works again.")


@app.command()
def drain(name: Name, data_dir: DataDir = None) -> None:
    """Have a worker finish what it has begun, and leave."""
    _tell(data_dir, name, Command.DRAIN)
    say(f"{name} finishes what it has begun, and leaves.")


def _tell(data_dir: str | None, name: str, command: Command | None) -> None:
    on_datastore(data_dir, lambda datastore: datastore.set_command(name, command))


def _refuse_options(context: typer.Context) -> None:
    if any(context.params.values()):
        name = context.invoked_subcommand
        raise typer.BadParameter(f"options stand behind the command: dpip worker {name} ...")


def _split(tags: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag.strip() for tag in tags.split(",") if tag.strip()))


def _default_name() -> str:
    import os

    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:48]
    return f"{host}-{os.getpid()}"
