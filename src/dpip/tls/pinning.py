"""Finding the one authority that a join token names, in what a server presents."""

import asyncio
import contextlib
import ssl
from typing import Any

from dpip.errors import AuthorityUnknown, BusUnavailable
from dpip.tls.contexts import fingerprint, trusting, trusting_nobody

_CONNECT_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.3


async def pinned_context(
    host: str, port: int, authority: str, *, patience: float
) -> ssl.SSLContext:
    """Return what a client speaks TLS with that trusts the authority of this SHA-256 alone.

    The first handshake verifies nothing, and serves only to read the certificates that the server
    presents; one of them has to be the authority's. What is believed of the server is verified by
    it, in every handshake after that.

    Raises ``AuthorityUnknown``, and ``BusUnavailable`` if no server is there within ``patience``
    seconds.
    """
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + patience
    while True:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                chain = await _chain_of(host, port)
            break
        except (OSError, TimeoutError) as error:
            if clock() > give_up_at:
                raise BusUnavailable(
                    address=f"{host}:{port}", reason=str(error) or "no answer"
                ) from error
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    for certificate in chain:
        if fingerprint(certificate) == authority:
            return trusting(certificate)
    raise AuthorityUnknown(address=f"{host}:{port}", authority=authority)


async def _chain_of(host: str, port: int) -> list[bytes]:
    _, writer = await asyncio.open_connection(host, port, ssl=trusting_nobody())
    try:
        return _presented(writer.get_extra_info("ssl_object"))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _presented(connection: Any) -> list[bytes]:
    if hasattr(connection, "get_unverified_chain"):
        chain: list[bytes] = connection.get_unverified_chain()
        return chain
    # Before Python 3.13 only the object below knows of it.
    return [
        ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
        for certificate in connection._sslobj.get_unverified_chain()
    ]
