"""What may be reached from other machines, and how it is protected there."""

import ipaddress

import structlog

from dpip.config import Settings
from dpip.errors import CannotStart
from dpip.tls.contexts import TlsFiles, authority_in

log = structlog.get_logger()


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files of the servers, or ``None`` without any. Raises ``CannotStart``."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None or settings.tls_ca is None:
        raise CannotStart(
            part="TLS",
            reason="--tls-cert, --tls-key and --tls-ca belong together; 'dpip certs' makes all",
        )
    return TlsFiles(certificate=settings.tls_cert, key=settings.tls_key, authority=settings.tls_ca)


def authority(settings: Settings) -> str | None:
    """The fingerprint of the authority that join tokens are to name. Raises ``CannotStart``."""
    if files := tls_files(settings):
        return files.fingerprint()
    return authority_in(settings.tls_ca) if settings.tls_ca else None


def check_exposure(settings: Settings, part: str) -> None:
    """Refuse to let ``part`` listen beyond this machine in the clear, or warn where it was said.

    Raises ``CannotStart``.
    """
    if settings.tls_cert or _is_this_machine(settings.host):
        return
    if not settings.insecure:
        raise CannotStart(
            part=part,
            reason=f"it would listen on {settings.host or 'all addresses'} without encryption. "
            "Give it a certificate with --tls-cert, --tls-key and --tls-ca ('dpip certs' makes "
            "them), or say --insecure",
        )
    log.warning(
        "listening beyond this machine without encryption: passwords, tokens and pictures can "
        "be read on the way",
        part=part,
        host=settings.host,
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
