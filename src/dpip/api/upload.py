"""The upload of a picture, streamed from the connection into the image store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from dpip.api.body import bounded_body
from dpip.api.multipart import MultipartForm
from dpip.errors import DpipError, InvalidValue, TooLarge
from dpip.ports.image_store import ImageStore, StagedFile

_ROOM_FOR_FIELDS = 1 << 16


@dataclass(frozen=True)
class Upload:
    """The bytes of one picture, staged, and the text fields that came with it."""

    staged: StagedFile
    fields: dict[str, str]


def announced_size(request: Request, limit: int) -> int:
    """The most bytes that the body can have, by its header and by ``limit``."""
    announced = request.headers.get("Content-Length", "")
    return min(int(announced), limit) if announced.isdecimal() else limit


@asynccontextmanager
async def received_upload(
    request: Request,
    images: ImageStore,
    limit: int,
    *,
    refusal: DpipError | None = None,
    check: Callable[[dict[str, str]], Awaitable[None]] | None = None,
    arrive: Callable[[int], None] | None = None,
) -> AsyncIterator[Upload]:
    """Receive the form in the request; what is not kept by the end of the block is discarded,
    and what is kept has to be recorded by then.

    ``limit`` is the most bytes that the picture may have; ``refusal``, or else ``TooLarge``, is
    raised beyond. ``check`` is called with the fields that came before the file, while there is
    more of it to come, and may raise what spares the client sending it. ``arrive`` is told of the
    bytes as they arrive, and may raise what ends the upload. Raises ``MalformedRequest``,
    ``UnsupportedMediaType``, and ``InvalidValue`` for other than one file.
    """
    form = MultipartForm(request.headers.get("Content-Type", ""))
    too_large = refusal or TooLarge(what="A picture", limit=limit, setting="limits.upload_bytes")
    chunks = bounded_body(request, limit + _ROOM_FOR_FIELDS, too_large)
    staged = await images.stage()
    try:
        async for chunk in chunks:
            if arrive:
                arrive(len(chunk))
            pieces = form.feed(chunk)
            if check and form.has_file and not form.has_ended:
                await check(form.fields)
                check = None
            for piece in pieces:
                if staged.size + len(piece) > limit:
                    raise too_large
                await staged.write(piece)
        form.finish()
        if not form.has_file:
            raise InvalidValue(field="data", value=None, allowed="it is the file of the picture")
        yield Upload(staged, form.fields)
    finally:
        await staged.discard()
