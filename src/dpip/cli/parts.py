"""``dpip controller``, ``dpip scheduler`` and ``dpip api``: the parts, each alone."""

from typing import Annotated

import typer

from dpip.cli.output import say, say_each
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

NatsUrl = Annotated[
    str | None,
    typer.Option("--nats-url", help="An external NATS server, in place of the embedded one."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="Database; by default SQLite in the data directory."),
]
ControllerPort = Annotated[
    int | None, typer.Option(help="Port of the embedded message-passing server.")
]


def controller(
    host: Host = None,
    controller_port: ControllerPort = None,
    data_dir: DataDir = None,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
    api_url: Annotated[
        str | None, typer.Option("--api-url", help="URL under which workers reach the API.")
    ] = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    insecure: Insecure = None,
    log_level: LogLevel = None,
) -> None:
    """Run the controller and the message-passing server."""
    settings = settings_from(
        host=host,
        controller_port=controller_port,
        data_dir=data_dir,
        nats_url=nats_url,
        database_url=database_url,
        api_url=api_url,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
        insecure=insecure,
        log_level=log_level,
    )
    from dpip import compose

    serve(
        compose.controller(settings),
        lambda address: say_each(f"Controller  {address}", "Ready. Ctrl-C stops it."),
    )


def scheduler(
    host: Host = None,
    controller_port: ControllerPort = None,
    data_dir: DataDir = None,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
    tls_ca: TlsCa = None,
    log_level: LogLevel = None,
) -> None:
    """Run the scheduler."""
    settings = settings_from(
        host=host,
        controller_port=controller_port,
        data_dir=data_dir,
        nats_url=nats_url,
        database_url=database_url,
        tls_ca=tls_ca,
        log_level=log_level,
    )
    from dpip import compose

    serve(
        compose.scheduler(settings),
        lambda _: say("Ready. Ctrl-C stops it."),
    )


def api(
    host: Host = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    controller_port: ControllerPort = None,
    data_dir: DataDir = None,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    insecure: Insecure = None,
    log_level: LogLevel = None,
) -> None:
    """Run the API."""
    settings = settings_from(
        host=host,
        port=port,
        controller_port=controller_port,
        data_dir=data_dir,
        nats_url=nats_url,
        database_url=database_url,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
        insecure=insecure,
        log_level=log_level,
    )
    from dpip import compose

    serve(compose.api(settings), lambda running: say_each(*running.lines()))
