"""Finding the one authority that a join token names, in what a server presents."""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Sequence
from typing import Any

from dpip.errors import AuthorityUnknown, BusUnavailable
from dpip.tls.contexts import fingerprint, trusting, trusting_nobody

_CONNECT_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.3


async def pinned_context(
    servers: Sequence[tuple[str, int]], authority: str, *, patience: float
) -> ssl.SSLContext:
    """Return what a client speaks TLS with that trusts the authority of this SHA-256 alone.

    The first handshake, with whichever of the servers is there, verifies nothing: it serves only to
    read the certificates that this server presents, one of which has to be the authority's. Every
    handshake after it is verified by that one.

    Raises ``AuthorityUnknown``, and ``BusUnavailable`` if no server is there within ``patience``
    seconds.
    """
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + patience
    for host, port in itertools.cycle(servers):
        address = f"{host}:{port}"
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                chain = await _chain_of(host, port)
        except (OSError, TimeoutError) as error:
            if clock() > give_up_at:
                raise BusUnavailable(address=address, reason=str(error) or "no answer") from error
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            continue
        for certificate in chain:
            if fingerprint(certificate) == authority:
                return trusting(certificate)
        raise AuthorityUnknown(address=address, authority=authority)
    raise AssertionError("there is at least one server")


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
