"""``dpip certs``: a private authority and certificates for the servers of a first cluster."""

import re
from pathlib import Path
from typing import Annotated

import typer

from dpip.cli.output import say
from dpip.errors import CannotStart, InvalidValue

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")


def certs(
    hosts: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST", help="Names and addresses under which the others reach the server."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("certs"),
) -> None:
    """Make a certificate for a server; the authority is made with the first one."""
    import os

    from dpip.tls.authority import Authority

    for host in hosts:
        if not _HOST.fullmatch(host):
            raise InvalidValue(field="host", value=host, allowed="it is a host's name or address")
    os.umask(0o077)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(part="dpip certs", reason=f"{out}: {error.strerror}") from error
    certificate = Authority.in_directory(out).sign_for(hosts, out)
    say(
        f"--tls-cert {certificate} --tls-key {certificate.with_suffix('.key')} "
        f"--tls-ca {out / 'ca.crt'}"
    )
