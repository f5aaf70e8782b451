"""What a process that shares the image store's file system stages there itself."""

import asyncio
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Meta, Struct

from dpip.api.auth import AnyCaller, AnyUser, authenticated_user, bearer_token, may_change
from dpip.api.body import small_body
from dpip.api.context import Context, InContext
from dpip.api.intake import take_original
from dpip.api.lookup import visible_workload
from dpip.api.openapi import problems, taken
from dpip.api.schemas import StagedAnswer, StagedAnswers
from dpip.api.upload import Upload
from dpip.errors import DpipError, InvalidValue, MalformedRequest, NotFound
from dpip.model.image_place import staging_area
from dpip.model.user import User
from dpip.model.workload import Workload

MOST_AT_ONCE = 64
"""Pictures that one request may name."""

router = APIRouter()


class StagedPicture(Struct, frozen=True, forbid_unknown_fields=True):
    """Its name in the staging area, and what the Idempotency-Key is for one that is sent."""

    name: Annotated[str, Meta(pattern=r"\A[0-9a-z]{1,64}\Z")]
    key: Annotated[str, Meta(min_length=1, max_length=200)]


class StagedPictures(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request."""

    pictures: Annotated[tuple[StagedPicture, ...], Meta(min_length=1, max_length=MOST_AT_ONCE)]


_decoder = msgspec.json.Decoder(StagedPictures)
_TEXT = {"type": "string"}
_PICTURE = {
    "type": "object",
    "properties": {"name": _TEXT, "key": _TEXT},
    "required": ["name", "key"],
}
_BODY = taken(
    {
        "application/json": {
            "type": "object",
            "properties": {
                "pictures": {
                    "type": "array",
                    "items": _PICTURE,
                    "minItems": 1,
                    "maxItems": MOST_AT_ONCE,
                }
            },
            "required": ["pictures"],
        }
    },
    required=True,
)


@router.get(
    "/staging-area",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    dependencies=[Depends(may_change)],
    responses=problems(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
async def see_staging_area(request: Request, caller: AnyCaller, context: InContext) -> None:  # noqa: ARG001
    """Say whether the image store has the directory in which the caller would stage pictures.

    Its name is made of the caller's token, so the caller has made it, and can write there.
    """
    if not await context.images.sees_area(staging_area(bearer_token(request))):
        raise NotFound(kind="staging area", id="of this token")


@router.post(
    "/workloads/{workload_id}/staged",
    status_code=HTTPStatus.CREATED,
    dependencies=[Depends(authenticated_user), Depends(may_change)],
    openapi_extra=_BODY,
    responses=problems(
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
async def take_staged(
    workload_id: str, request: Request, user: AnyUser, context: InContext
) -> StagedAnswers:
    """Take in originals that the caller has staged; what became of each, in their order."""
    pictures = _pictures_in(await small_body(request))
    workload = await visible_workload(context, user, workload_id)
    area = staging_area(bearer_token(request))
    return StagedAnswers(
        pictures=await asyncio.gather(
            *(_take(context, user, workload, area, picture) for picture in pictures)
        )
    )


async def _take(
    context: Context,
    user: User,
    workload: Workload,
    area: str,
    picture: StagedPicture,
) -> StagedAnswer:
    try:
        async with context.admission.upload(user.id) as arrive:
            staged = await context.images.adopt(area, picture.name, context.settings.upload_bytes)
            try:
                arrive(staged.size)
                async with context.quotas.upload(user, staged.size) as room:
                    if room < staged.size:
                        raise context.quotas.exceeded(room)
                    image = await take_original(context, workload, Upload(staged, {}), picture.key)
            finally:
                await staged.discard()
    except DpipError as error:
        return StagedAnswer(status=error.status, code=error.code, detail=str(error))
    return StagedAnswer(status=HTTPStatus.CREATED, image_id=image.id)


def _pictures_in(body: bytes) -> tuple[StagedPicture, ...]:
    try:
        return _decoder.decode(body).pictures
    except msgspec.ValidationError as error:
        raise InvalidValue(field="pictures", value="this body", allowed=error) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedRequest(reason=f"the JSON is broken: {error}") from error
