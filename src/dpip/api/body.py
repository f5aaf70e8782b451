"""The bytes of a request's body, up to a limit."""

from collections.abc import AsyncIterator

from fastapi import Request

from dpip.errors import TooLarge


async def bounded_body(request: Request, limit: int, too_large: TooLarge) -> AsyncIterator[bytes]:
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
