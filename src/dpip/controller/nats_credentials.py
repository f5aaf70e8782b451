"""Credentials as a NATS server reads them: signed claims (JWT) of an account's key."""

import base64
import secrets
import time
from collections.abc import Sequence

import msgspec
import nkeys

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_REPLY_NANOSECONDS = 10_000_000_000


def new_seed() -> str:
    """Return a fresh signing key, in the form in which it is kept."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)
    return seed.decode()


class Issuer:
    """Signs what the server is to believe. The server knows ``public_key`` by its configuration."""

    def __init__(self, seed: str) -> None:
        self._key = nkeys.from_seed(bytearray(seed.encode()))
        self.public_key: str = self._key.public_key.decode()

    def user(
        self,
        user_key: str,
        *,
        account: str,
        name: str,
        publish: Sequence[str],
        subscribe: Sequence[str],
        expires_at: float | None,
    ) -> str:
        """Return the credential of one connection, which lists all that it may do.

        It may also answer each request that it receives, once.
        """
        claims: dict[str, object] = {
            "sub": user_key,
            "aud": account,
            "name": name,
            "nats": {
                "type": "user",
                "version": 2,
                "pub": {"allow": publish},
                "sub": {"allow": subscribe},
                "resp": {"max": 1, "ttl": _REPLY_NANOSECONDS},
                "subs": -1,
                "data": -1,
                "payload": -1,
            },
        }
        return self._sign(claims if expires_at is None else {**claims, "exp": int(expires_at)})

    def answer(self, user_key: str, server_id: str, **said: str) -> str:
        """Return the answer to a server that asks about a connection: ``jwt``, or an ``error``."""
        content = {"type": "authorization_response", "version": 2, **said}
        return self._sign({"sub": user_key, "aud": server_id, "nats": content})

    def _sign(self, claims: dict[str, object]) -> str:
        whole = {
            **claims,
            "iss": self.public_key,
            "iat": int(time.time()),
            "jti": secrets.token_hex(16),
        }
        signed = b".".join(_base64(msgspec.json.encode(part)) for part in (_HEADER, whole))
        return b".".join([signed, _base64(self._key.sign(signed))]).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
