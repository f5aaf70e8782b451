"""A private authority, and the certificates that it signs: enough for a first cluster."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dpip.errors import CannotStart

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 825
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A certificate that may sign others, and its key, as ``ca.crt`` and ``ca.key``."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def in_directory(cls, directory: Path) -> "Authority":
        """Return the authority of ``directory``, made if there is none. Raises ``CannotStart``."""
        certificate, key = directory / "ca.crt", directory / "ca.key"
        try:
            if not key.exists():
                made = cls._new()
                _write(key, _pem_of(made._key))
                certificate.write_bytes(made._certificate.public_bytes(Encoding.PEM))
            loaded = load_pem_private_key(key.read_bytes(), None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                raise ValueError("it is no key of an elliptic curve")  # noqa: TRY004
            return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)
        except (OSError, ValueError) as error:
            raise CannotStart(
                part="The authority", reason=f"{certificate} and {key} cannot be used ({error})"
            ) from error

    @classmethod
    def _new(cls) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("DPIP private authority")
        certificate = (
            _certificate(name, name, key.public_key(), _AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    def sign_for(self, hosts: Sequence[str], directory: Path) -> Path:
        """Write ``<host>.crt`` and ``<host>.key`` for a server that is reached under ``hosts``.

        The names of this machine to itself are among them. Returns the path of the certificate,
        which the authority's follows.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in dict.fromkeys((*hosts, *_THIS_MACHINE))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _certificate(
                _name(hosts[0][:64]), self._certificate.subject, key.public_key(), _SERVER_DAYS
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
            .sign(self._key, hashes.SHA256())
        )
        stem = hosts[0].replace(":", "-")
        _write(directory / f"{stem}.key", _pem_of(key))
        file = directory / f"{stem}.crt"
        file.write_bytes(
            certificate.public_bytes(Encoding.PEM) + self._certificate.public_bytes(Encoding.PEM)
        )
        return file


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    # Machines whose clocks are a little behind can use it at once.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(**uses: bool) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{use: uses.get(use, False) for use in every})


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_bytes(content)
