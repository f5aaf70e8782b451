"""Pictures: taken in and given out."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.types import Receive, Scope, Send

from dpip.api.auth import AnyCaller, may_change
from dpip.api.conditions import etag_listed, wanted_range
from dpip.api.context import Context, InContext
from dpip.api.intake import leased_job, take_original, take_result, workload_of
from dpip.api.lookup import visible_image, visible_workload
from dpip.api.multipart import FILE_FIELDS, MEDIA_TYPE
from dpip.api.openapi import problems, taken
from dpip.api.schemas import ImageAnswer
from dpip.api.upload import Upload, announced_size, received_upload
from dpip.errors import Forbidden, InvalidValue
from dpip.model.image import Image, ImageKind, PictureFormat
from dpip.model.job import Lease, LeasedJob
from dpip.model.quota import exceeded
from dpip.model.user import User

router = APIRouter(prefix="/images")

_KINDS = {
    "original": ImageKind.ORIGINAL,
    "orginal": ImageKind.ORIGINAL,
    "filtered": ImageKind.FILTERED,
}
_TEXTS = {
    "workload_id": {"type": "string"},
    "type": {"type": "string", "enum": list(_KINDS), "default": "original"},
    "job_id": {"type": "string", "description": "Of workers, before the picture."},
    "attempt": {"type": "integer", "description": "Of workers, before the picture."},
    "milliseconds": {"type": "number", "description": "Of workers: time spent on the pixels."},
    "sha256": {"type": "string", "description": "Of workers: of the picture, in hexadecimal."},
    "notes": {"type": "string", "description": "Of workers: codes, separated by commas."},
}
_BODY = taken(
    {
        MEDIA_TYPE: {
            "type": "object",
            "properties": {
                "data": {"type": "string", "format": "binary"},
                **_TEXTS,
            },
            "required": ["data", "workload_id"],
        },
    },
    required=True,
)
_PICTURE = {
    "content": {
        picture_format.media_type: {"schema": {"type": "string", "format": "binary"}}
        for picture_format in PictureFormat
    }
}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    dependencies=[Depends(may_change)],
    openapi_extra=_BODY,
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
async def upload_image(
    request: Request,
    caller: AnyCaller,
    context: InContext,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> ImageAnswer:
    """Take in an original from a user, or the filtered image from the worker that made it.

    An upload that is repeated with the same Idempotency-Key is the same image.
    """
    async with AsyncExitStack() as stack:
        if caller.user:
            upload = await _original_upload(request, caller.user, context, stack)
            _check_kind(upload.fields, ImageKind.ORIGINAL)
            workload = await workload_of(context, caller.user, upload.fields)
            limits = context.quotas.limits_of(caller.user)
            image = await take_original(context, workload, upload, idempotency_key, limits=limits)
        elif caller.worker:
            upload, held = await _result_upload(request, caller.worker, context, stack)
            image = await take_result(context, upload, *held)
    return ImageAnswer(workload_id=image.workload_id, image_id=image.id, type=image.kind)


@router.head("/{image_id}", include_in_schema=False)
@router.get(
    "/{image_id}",
    response_class=Response,
    responses={
        200: {"description": "The picture.", **_PICTURE},
        206: {"description": "A part of the picture.", **_PICTURE},
        304: {"description": "The picture is the one that the client has."},
        **problems(HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
    },
)
async def download_image(
    image_id: str, request: Request, caller: AnyCaller, context: InContext
) -> Response:
    """Give out the bytes of an image, or a range of them."""
    image = await visible_image(context, caller, image_id)
    headers = _headers_of(image)
    if etag_listed(request.headers.get("If-None-Match", ""), headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    status, wanted = HTTPStatus.OK, range(image.size)
    if part := _wanted_part(request, image, headers["ETag"]):
        status, wanted = HTTPStatus.PARTIAL_CONTENT, part
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{image.size}"
    headers["Content-Type"] = image.header.format.media_type
    headers["Content-Length"] = str(len(wanted))
    chunks = context.images.read(image, wanted.start, len(wanted))
    # Read before the answer begins, so that what is damaged is still answered with an error.
    first = await anext(chunks)
    if request.method == "HEAD":
        await chunks.aclose()
        return Response(status_code=status, headers=headers)
    return _Picture(first, chunks, status_code=status, headers=headers)


async def _original_upload(
    request: Request, user: User, context: Context, stack: AsyncExitStack
) -> Upload:
    """Receive an upload of a user, if there is room for it."""

    async def check(fields: dict[str, str]) -> None:
        if workload_id := fields.get("workload_id"):
            await visible_workload(context, user, workload_id)

    size = announced_size(request, context.settings.upload_bytes)
    arrive = await stack.enter_async_context(context.admission.upload(user.id))
    room = await stack.enter_async_context(context.quotas.upload(user, size))
    limit, refusal = context.settings.upload_bytes, None
    if (limits := context.quotas.limits_of(user)) and room < size:
        limit, refusal = room, exceeded(limits, room)
    return await stack.enter_async_context(
        received_upload(request, context.images, limit, refusal=refusal, check=check, arrive=arrive)
    )


async def _result_upload(
    request: Request, worker: str, context: Context, stack: AsyncExitStack
) -> tuple[Upload, tuple[Lease, LeasedJob]]:
    """Receive an upload of a worker under a lease. There is always room: a result makes some."""
    held: tuple[Lease, LeasedJob] | None = None

    async def check(fields: dict[str, str]) -> None:
        nonlocal held
        _check_kind(fields, ImageKind.FILTERED)
        held = await leased_job(context, worker, fields)

    limit = context.settings.result_bytes
    upload = await stack.enter_async_context(
        received_upload(request, context.images, limit, check=check)
    )
    _check_kind(upload.fields, ImageKind.FILTERED)
    return upload, held or await leased_job(context, worker, upload.fields)


def _check_kind(fields: dict[str, str], taken_kind: ImageKind) -> None:
    kind = _kind(fields)
    if kind is not taken_kind:
        raise Forbidden(
            action=f"Uploading an image of type {kind.value}",
            reason="originals come from users, filtered images from the workers they ran on",
        )


def _kind(fields: dict[str, str]) -> ImageKind:
    for name, value in fields.items():
        if name not in _TEXTS:
            allowed = ", ".join([*_TEXTS, *FILE_FIELDS])
            raise InvalidValue(field=name, value=value, allowed=f"there are the fields {allowed}")
    value = fields.get("type", ImageKind.ORIGINAL.value)
    if value not in _KINDS:
        raise InvalidValue(field="type", value=value, allowed="original or filtered")
    return _KINDS[value]


def _headers_of(image: Image) -> dict[str, str]:
    return {
        "ETag": f'"{image.sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
        # A picture is shown or saved as a picture, whatever else its bytes could be taken for.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": f'inline; filename="{image.id}{image.header.format.suffix}"',
    }


def _wanted_part(request: Request, image: Image, etag: str) -> range | None:
    if request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    return wanted_range(request.headers.get("Range"), image.size)


class _Picture(Response):
    """The bytes of a picture, sent block by block as they are read.

    Unlike Starlette's ``StreamingResponse`` it runs no task beside it that waits for the client to
    break off: once that has happened, sending raises.
    """

    def __init__(
        self,
        first: bytes,
        rest: AsyncGenerator[bytes],
        *,
        status_code: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(status_code=status_code, headers=headers)
        self._first: bytes | None = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        first, self._first = self._first, None  # Not kept for as long as the rest takes.
        await send({"type": "http.response.body", "body": first, "more_body": True})
        del first
        async with aclosing(self._rest) as rest:
            async for block in rest:
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
