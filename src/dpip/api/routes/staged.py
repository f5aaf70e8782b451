"""What a process that shares the image store's file system stages there itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Meta, Struct

from dpip.api.auth import (
    AnyCaller,
    AnyUser,
    AnyWorker,
    authenticated_user,
    bearer_token,
    may_change,
)
from dpip.api.body import small_body
from dpip.api.context import Context, InContext
from dpip.api.intake import leased_job, take_original, take_result
from dpip.api.lookup import visible_workload
from dpip.api.openapi import problems, taken
from dpip.api.schemas import StagedAnswer, StagedAnswers
from dpip.api.upload import Upload
from dpip.errors import DpipError, InvalidValue, MalformedRequest, NotFound
from dpip.model.image import Image
from dpip.model.image_place import staging_area
from dpip.model.quota import exceeded
from dpip.model.user import User
from dpip.model.workload import Workload
from dpip.ports.image_store import StagedFile

log = structlog.get_logger()

MOST_AT_ONCE = 64
"""Pictures that one request may name."""

Name = Annotated[str, Meta(pattern=r"\A[0-9a-z]{1,64}\Z")]
"""In the staging area: no path, and no place else."""

Text = Annotated[str, Meta(max_length=100)]

T = TypeVar("T")

router = APIRouter()


class StagedPicture(Struct, frozen=True, forbid_unknown_fields=True):
    """Its name in the staging area, and what the Idempotency-Key is for one that is sent."""

    name: Name
    key: Annotated[str, Meta(pattern=r"\A[!-~]{1,200}\Z")]


class StagedPictures(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request."""

    pictures: Annotated[tuple[StagedPicture, ...], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class StagedResult(Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a result in the staging area, and the fields of one that is sent."""

    name: Name
    workload_id: Text
    job_id: Text
    attempt: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    milliseconds: Annotated[float, Meta(ge=0, le=2**31 - 1)]
    sha256: Text
    notes: Annotated[str, Meta(max_length=1000)] = ""


class StagedResults(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request of a worker."""

    results: Annotated[tuple[StagedResult, ...], Meta(min_length=1, max_length=MOST_AT_ONCE)]


_pictures = msgspec.json.Decoder(StagedPictures)
_results = msgspec.json.Decoder(StagedResults)
_TEXT = {"type": "string"}
_PICTURE: dict[str, Any] = {"name": _TEXT, "key": _TEXT}
_RESULT: dict[str, Any] = {
    **dict.fromkeys(("name", "workload_id", "job_id", "sha256"), _TEXT),
    "attempt": {"type": "integer"},
    "milliseconds": {"type": "number"},
}


def _body(field: str, required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    item = {"type": "object", "properties": required | optional, "required": list(required)}
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": MOST_AT_ONCE}
    schema = {"type": "object", "properties": {field: items}, "required": [field]}
    return taken({"application/json": schema}, required=True)


_PROBLEMS = problems(
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
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
    openapi_extra=_body("pictures", _PICTURE),
    responses=_PROBLEMS,
)
async def take_staged(
    workload_id: str, request: Request, user: AnyUser, context: InContext
) -> StagedAnswers:
    """Take in originals that the caller has staged; what became of each, in their order."""
    pictures = _read(_pictures, await small_body(request)).pictures
    workload = await visible_workload(context, user, workload_id)
    area = staging_area(bearer_token(request))
    return await _answers(_original(context, user, workload, area, picture) for picture in pictures)


@router.post(
    "/staged-results",
    status_code=HTTPStatus.CREATED,
    openapi_extra=_body("results", _RESULT, notes=_TEXT),
    responses=_PROBLEMS,
)
async def take_staged_results(
    request: Request, worker: AnyWorker, context: InContext
) -> StagedAnswers:
    """Take in results that a worker has staged; what became of each, in their order."""
    results = _read(_results, await small_body(request)).results
    area = staging_area(bearer_token(request))
    return await _answers(_result(context, worker, area, result) for result in results)


async def _answers(images: Iterable[Awaitable[Image]]) -> StagedAnswers:
    return StagedAnswers(pictures=await asyncio.gather(*(_answer(image) for image in images)))


async def _answer(image: Awaitable[Image]) -> StagedAnswer:
    try:
        return StagedAnswer(status=HTTPStatus.CREATED, image_id=(await image).id)
    except DpipError as error:
        log.debug("staged picture not taken", status=int(error.status), reason=str(error))
        refusal = error
    except Exception:  # The others of the request may be committed already.
        log.exception("staged picture failed unexpectedly")
        refusal = DpipError()
    return StagedAnswer(status=refusal.status, code=refusal.code, detail=str(refusal))


async def _original(
    context: Context, user: User, workload: Workload, area: str, picture: StagedPicture
) -> Image:
    limit = context.settings.upload_bytes
    async with (
        context.admission.upload(user.id) as arrive,
        _adopted(context, area, picture.name, limit) as staged,
    ):
        arrive(staged.size)
        async with context.quotas.upload(user, staged.size) as room:
            limits = context.quotas.limits_of(user)
            if limits and room < staged.size:
                raise exceeded(limits, room)
            upload = Upload(staged, {})
            return await take_original(context, workload, upload, picture.key, limits=limits)


async def _result(context: Context, worker: str, area: str, result: StagedResult) -> Image:
    fields = {name: str(value) for name, value in msgspec.structs.asdict(result).items()}
    lease, job = await leased_job(context, worker, fields)
    async with _adopted(context, area, result.name, context.settings.result_bytes) as staged:
        return await take_result(context, Upload(staged, fields), lease, job)


@asynccontextmanager
async def _adopted(context: Context, area: str, name: str, limit: int) -> AsyncIterator[StagedFile]:
    staged = await context.images.adopt(area, name, limit)
    try:
        yield staged
    finally:
        await staged.discard()


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidValue(field="body", value=body[:100], allowed=error) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedRequest(reason=f"the JSON is broken: {error}") from error
