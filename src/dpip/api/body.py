"""The body of a request, up to a limit."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import Request

from dpip.errors import DpipError, InvalidValue, MalformedRequest, TooLarge

_SMALL = 1 << 16


async def bounded_body(request: Request, limit: int, too_large: DpipError) -> AsyncIterator[bytes]:
    """Yield the body in the pieces in which it arrives.

    Raises ``too_large`` once there is more than ``limit`` bytes of it, and before the first byte
    is read if that much is announced.
    """
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large
        yield chunk


async def small_body(request: Request) -> bytes:
    """Return a body of at most 64 KiB. Raises ``TooLarge``."""
    too_large = TooLarge(what="This body", limit=_SMALL, setting="fixed")
    return b"".join([chunk async for chunk in bounded_body(request, _SMALL, too_large)])


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that ``body`` is. Raises ``MalformedRequest`` or ``InvalidValue``."""
    try:
        content = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(reason=f"the JSON is broken: {error}") from error
    if not isinstance(content, dict):
        raise InvalidValue(field="body", value=content, allowed="it is a JSON object")
    return content
