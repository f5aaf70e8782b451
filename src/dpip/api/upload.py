"""The upload of a picture: streamed from the connection into the image store, or staged there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import Request

from dpip.api.body import bounded_body, small_body
from dpip.api.lookup import is_id
from dpip.api.multipart import MultipartForm
from dpip.errors import DpipError, InvalidValue, MalformedRequest, TooLarge
from dpip.ports.image_store import ImageStore, StagedFile

STAGED_MEDIA_TYPE = "application/x-www-form-urlencoded"
STAGED = "staged"
"""The field that names a picture in the caller's staging area, in place of the file."""

_ROOM_FOR_FIELDS = 1 << 16
_MOST_FIELDS = 32


@dataclass(frozen=True)
class Upload:
    """The bytes of one picture, staged, and the text fields that came with it."""

    staged: StagedFile
    fields: dict[str, str]


def is_staged(request: Request) -> bool:
    """Whether the body names a picture that is staged, and does not carry it."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type == STAGED_MEDIA_TYPE


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


@asynccontextmanager
async def staged_upload(
    request: Request,
    images: ImageStore,
    area: str,
    limit: int,
    *,
    check: Callable[[dict[str, str]], Awaitable[None]],
) -> AsyncIterator[Upload]:
    """Take over the picture that the form names, from the staging area ``area``; else as above.

    ``check`` is called before the picture is looked at. Raises ``NotFound`` without such a picture,
    ``MalformedRequest``, and ``InvalidValue`` for what is no picture's file.
    """
    fields = _fields_in(await small_body(request))
    name = fields.pop(STAGED, "")
    if not is_id(name):
        raise InvalidValue(field=STAGED, value=name, allowed="it names a file, as an id does")
    await check(fields)
    staged = await images.adopt(area, name, limit)
    try:
        yield Upload(staged, fields)
    finally:
        await staged.discard()


def _fields_in(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise MalformedRequest(reason=f"the form is broken: {error}") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidValue(field="a field", value="several values", allowed="it has one")
    return fields
