"""What nats-py's client does not see to by itself."""

import asyncio
import contextlib

from nats.aio.client import Client

_CLOSE_SECONDS = 1


async def until_received(client: Client) -> None:
    """Return when the server has received all that was sent before."""
    # nats-py's first ping overtakes what waits to be written; by its answer that is written, so
    # that a second one follows it.
    await client.flush()
    await client.flush()


async def put_away(client: Client) -> None:
    """Close ``client``, however far it has got, with the tasks of its subscriptions."""
    # nats-py calls itself closed before it is, and stays so half way if it cannot send the rest.
    client._status = Client.DISCONNECTED
    with contextlib.suppress(Exception):
        # After a failed handshake nats-py would wait for ever.
        await asyncio.wait_for(client.close(), _CLOSE_SECONDS)
