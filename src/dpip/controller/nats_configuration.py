"""What a NATS server, embedded or external, has to know to guard DPIP's subjects."""

from dpip.controller.nats_credentials import Issuer
from dpip.tls.contexts import TlsFiles
from dpip.wire.codec import LARGEST_MESSAGE

ACCOUNT = "DPIP"
SERVER_USER = "server"
KICK = "$SYS.REQ.SERVER.*.KICK"

_MOST_SUBSCRIPTIONS = 64
# Shorter than the server's first ping, by which nats-py takes a connection to be made.
_CONNECT_SECONDS = 1.5


def access_rules(
    *, server_password: str, issuer: Issuer, tls: TlsFiles | None = None
) -> dict[str, object]:
    """Return the rules, as a part of a server's configuration.

    DPIP's own parts connect as one user. About everybody else the server asks the controller,
    whose answers it knows by their signature. The controller may cut connections off. With ``tls``
    the server speaks that from the first byte on.
    """
    return {
        "max_payload": LARGEST_MESSAGE,
        "max_subscriptions": _MOST_SUBSCRIPTIONS,
        "accounts": {
            ACCOUNT: {
                "users": [{"user": SERVER_USER, "password": server_password}],
                "imports": [{"service": {"account": "SYS", "subject": KICK}}],
            },
            "SYS": {"exports": [{"service": KICK, "accounts": [ACCOUNT]}]},
        },
        "system_account": "SYS",
        "authorization": {
            "timeout": _CONNECT_SECONDS,
            "auth_callout": {
                "issuer": issuer.public_key,
                "account": ACCOUNT,
                "auth_users": [SERVER_USER],
            },
        },
        **(_tls_rules(tls) if tls else {}),
    }


def _tls_rules(files: TlsFiles) -> dict[str, object]:
    return {
        "tls": {
            "cert_file": str(files.certificate.resolve()),
            "key_file": str(files.key.resolve()),
            "handshake_first": True,
        }
    }
