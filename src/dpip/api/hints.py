"""Hints on the bus about what is already true in the datastore."""

import structlog

from dpip.errors import BusUnavailable
from dpip.ports.bus import Bus

log = structlog.get_logger()


async def hint(bus: Bus, subject: str) -> None:
    """Publish an empty message; without a bus its listeners find out by themselves, later."""
    try:
        await bus.publish(subject, b"")
    except BusUnavailable as error:
        log.warning("hint not sent", subject=subject, reason=str(error))
