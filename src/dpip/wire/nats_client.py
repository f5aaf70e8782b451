"""What nats-py's client does not see to by itself."""

import asyncio
from collections.abc import Coroutine

from dpip.chores import end
from dpip.wire.nats_py import Client

_CLOSE_SECONDS = 1.0
_DRAIN_SECONDS = 1.0


async def until_received(client: Client) -> None:
    """Return when the server has received all that was sent before."""
    # nats-py's first ping overtakes what waits to be written; by its answer that is written, so
    # that a second one follows it.
    await client.flush()
    await client.flush()


async def drain(client: Client) -> None:
    """Have the server know that nothing more is heard, and send it what is still to be sent."""
    await _try(client.drain(), _DRAIN_SECONDS)


async def put_away(client: Client) -> None:
    """Close ``client``, however far it has got, with the tasks of its subscriptions."""
    # nats-py calls itself closed before it is, and stays so half way if it cannot send the rest.
    client._status = Client.DISCONNECTED
    # After a failed handshake nats-py would wait for ever.
    await _try(client.close(), _CLOSE_SECONDS)


async def _try(work: Coroutine[None, None, None], seconds: float) -> None:
    """Do ``work`` for as long, whatever becomes of it.

    It has a task of its own: two tasks of nats-py may wait for the end of one connection, and when
    one is cancelled the other is, too. That would be taken for a cancellation of the caller.
    """
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working}, timeout=seconds)
    finally:
        await end(working)
