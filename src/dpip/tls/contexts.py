"""How servers show who they are, and whom clients trust."""

import hashlib
import ssl
from pathlib import Path

from msgspec import Struct

from dpip.errors import CannotStart


class TlsFiles(Struct, frozen=True, kw_only=True):
    """The files of a server, PEM each.

    ``certificate`` holds the server's own and, after it, those up to and with the authority's.
    ``authority`` is the certificate of the authority, which clients trust.
    """

    certificate: Path
    key: Path
    authority: Path

    def fingerprint(self) -> str:
        """The SHA-256 of the authority's certificate, by which a join token names it.

        Raises ``CannotStart`` unless the server would present that certificate.
        """
        presented = [fingerprint(each) for each in _certificates_in(self.certificate)]
        authority = authority_in(self.authority)
        if authority not in presented:
            raise CannotStart(
                part="TLS",
                reason=f"{self.certificate} does not end with the authority of {self.authority}, "
                "by which workers know the server; append the one to the other",
            )
        return authority


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what a server speaks TLS with. Raises ``CannotStart``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key)
    except OSError as error:
        raise CannotStart(
            part="TLS",
            reason=f"{files.certificate} and {files.key} are no certificate with its key ({error})",
        ) from error
    return context


def client_context(authority: Path) -> ssl.SSLContext:
    """Return what a client speaks TLS with that trusts ``authority`` alone.

    Raises ``CannotStart``.
    """
    return trusting(_certificates_in(authority)[0])


def trusting(certificate: bytes) -> ssl.SSLContext:
    """As ``client_context``, of an authority's certificate (DER)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=certificate)
    return context


def trusting_nobody() -> ssl.SSLContext:
    """Return what a client speaks TLS with that wants to look, and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def authority_in(file: Path) -> str:
    """The fingerprint of the authority's certificate in ``file``. Raises ``CannotStart``."""
    return fingerprint(_certificates_in(file)[0])


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate (DER), in hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def _certificates_in(file: Path) -> list[bytes]:
    """The certificates in a PEM file, at least one."""
    end = "-----END CERTIFICATE-----"
    try:
        blocks = file.read_text().split(end)[:-1]
        found = [
            ssl.PEM_cert_to_DER_cert(block[block.index("-----BEGIN") :] + end) for block in blocks
        ]
    except (OSError, ValueError) as error:
        raise CannotStart(part="TLS", reason=f"{file} cannot be read ({error})") from error
    if not found:
        raise CannotStart(part="TLS", reason=f"{file} holds no certificate (PEM)")
    return found
