"""The upload of a picture, streamed from the connection into the image store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from dpip.api.body import bounded_body
from dpip.api.multipart import MultipartForm
from dpip.errors import InvalidValue, TooLarge
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
    request: Request, images: ImageStore, limit: int
) -> AsyncIterator[Upload]:
    """Receive the form in the request; what is not kept by the end of the block is discarded,
    and what is kept has to be recorded by then.

    ``limit`` is the most bytes that the picture may have. Raises ``TooLarge``,
    ``MalformedRequest``, ``UnsupportedMediaType``, and ``InvalidValue`` for other than one file.
    """
    form = MultipartForm(request.headers.get("Content-Type", ""))
    too_large = TooLarge(what="A picture", limit=limit, setting="limits.upload_bytes")
    chunks = bounded_body(request, limit + _ROOM_FOR_FIELDS, too_large)
    staged = await images.stage()
    try:
        async for chunk in chunks:
            for piece in form.feed(chunk):
                if staged.size + len(piece) > limit:
                    raise too_large
                await staged.write(piece)
        form.finish()
        if not form.has_file:
            raise InvalidValue(field="data", value=None, allowed="it is the file of the picture")
        yield Upload(staged, form.fields)
    finally:
        await staged.discard()
