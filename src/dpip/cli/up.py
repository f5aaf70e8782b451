"""``dpip up``: the whole system on this machine."""

from typing import Annotated

import typer

from dpip.cli.output import say, say_each, say_json
from dpip.cli.service import (
    DataDir,
    Host,
    Insecure,
    LogLevel,
    TlsCa,
    TlsCert,
    TlsKey,
    serve,
    settings_from,
)


def up(
    host: Host = None,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 takes a free one.")] = None,
    controller_port: Annotated[
        int | None, typer.Option(help="Port where workers join; 0 takes a free one.")
    ] = None,
    data_dir: DataDir = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Local workers; one for each core by default.")
    ] = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    insecure: Insecure = None,
    log_level: LogLevel = None,
    json: Annotated[
        bool, typer.Option("--json", help="Say where it is as one JSON line on standard output.")
    ] = False,
) -> None:
    """Run API, controller, scheduler and local workers together, until Ctrl-C."""
    settings = settings_from(
        host=host,
        port=port,
        controller_port=controller_port,
        data_dir=data_dir,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
        insecure=insecure,
        log_level=log_level,
    )
    from dpip import compose

    def announce(running: compose.Running) -> None:
        if json:
            say_json(
                {
                    "api": running.api,
                    "controller": running.controller,
                    "data_dir": running.data_dir,
                    "user": running.administrator.name,
                }
            )
        else:
            say_each(*running.lines())

    count = compose.default_workers() if workers is None else workers
    serve(compose.up(settings, count), announce)
    say("Stopped.", aside=True)
