"""Workloads: created, watched, and read as they settle."""

from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response

from dpip.api.auth import AnyUser, may_change
from dpip.api.context import Context, InContext
from dpip.api.lookup import owner_filter, visible_workload
from dpip.api.openapi import problems
from dpip.api.results_wait import settled_jobs
from dpip.api.schemas import (
    RemovedAnswer,
    Result,
    ResultsPage,
    WorkloadAnswer,
    WorkloadPage,
    WorkloadSummary,
)
from dpip.api.workload_request import BODY, read_workload_request
from dpip.errors import DpipError, InvalidValue
from dpip.filters.pipeline import encode_pipeline
from dpip.model.ids import is_id, new_id
from dpip.model.image import ImageKind
from dpip.model.workload import Workload

router = APIRouter(prefix="/workloads")

log = structlog.get_logger()


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    dependencies=[Depends(may_change)],
    openapi_extra=BODY,
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
)
async def create_workload(
    request: Request, response: Response, user: AnyUser, context: InContext
) -> WorkloadAnswer:
    """Create an empty workload."""
    now = context.clock.now()
    wanted = await read_workload_request(request, now)
    workload = Workload(
        id=new_id(),
        name=wanted.name,
        owner_id=user.id,
        pipeline=encode_pipeline(wanted.pipeline),
        created_at=now,
        requirements=wanted.requirements,
    )
    await context.datastore.add_workload(workload)
    try:
        await context.images.describe(workload, user.name)
    except DpipError as error:  # A sweep makes good for it.
        log.warning("workload not described yet", workload=workload.id, reason=str(error))
    response.headers["Location"] = f"/workloads/{workload.id}"
    return WorkloadAnswer.with_images(workload, [], [])


@router.get("", responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY))
async def list_workloads(
    user: AnyUser,
    context: InContext,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(description="The next of the page before.")] = None,
) -> WorkloadPage:
    """List workloads, newest first."""
    if before is not None and not is_id(before):
        raise InvalidValue(field="before", value=before, allowed="it is the id of a workload")
    found = await context.datastore.workloads(
        owner_id=owner_filter(user), limit=limit + 1, before=before
    )
    page = found[:limit]
    return WorkloadPage(
        workloads=[WorkloadSummary.of(workload) for workload in page],
        next=page[-1].id if len(found) > limit else None,
    )


@router.get("/{workload_id}", responses=problems(HTTPStatus.NOT_FOUND))
async def show_workload(workload_id: str, user: AnyUser, context: InContext) -> WorkloadAnswer:
    """Show a workload with its filtered and its failed images."""
    return await _with_images(context, await visible_workload(context, user, workload_id))


@router.post(
    "/{workload_id}/retry",
    dependencies=[Depends(may_change)],
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def retry_workload(workload_id: str, user: AnyUser, context: InContext) -> WorkloadAnswer:
    """Try the failed images again, with as many attempts as at first."""
    workload = await visible_workload(context, user, workload_id)
    if await context.datastore.retry_failed(workload.id):
        context.hints.jobs_ready()
    return await _with_images(context, await visible_workload(context, user, workload_id))


@router.delete(
    "/{workload_id}",
    dependencies=[Depends(may_change)],
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def remove_workload(workload_id: str, user: AnyUser, context: InContext) -> RemovedAnswer:
    """Cancel what has not run, and remove the workload with all of its images."""
    workload = await visible_workload(context, user, workload_id)
    await context.datastore.remove_workload(workload.id, context.clock.now())
    try:
        await context.images.remove_workload(workload.name, workload.id)
    except DpipError as error:  # The datastore knows that they are to go.
        log.warning(
            "files of a removed workload are left, will try again",
            workload=workload.id,
            reason=str(error),
        )
    context.hints.settled(workload.id)
    return RemovedAnswer(workload_id=workload.id, images=workload.counts.total)


async def _with_images(context: Context, workload: Workload) -> WorkloadAnswer:
    return WorkloadAnswer.with_images(
        workload,
        await context.datastore.filtered_image_ids(workload.id),
        await context.datastore.failed_jobs(workload.id) if workload.counts.failed else [],
    )


@router.get(
    "/{workload_id}/results",
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def results(
    workload_id: str,
    user: AnyUser,
    context: InContext,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    wait: Annotated[float, Query(ge=0, le=30, description="Seconds to wait for the first.")] = 0,
) -> ResultsPage:
    """Show what has settled behind a position, in the order in which it settled."""
    workload = await visible_workload(context, user, workload_id)
    jobs = await settled_jobs(context, workload.id, after=after, limit=limit, wait=wait)
    return ResultsPage(
        results=[Result.of(job) for job in jobs], next=jobs[-1].position if jobs else after
    )


@router.delete(
    "/{workload_id}/results",
    dependencies=[Depends(may_change)],
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def remove_results(
    workload_id: str,
    user: AnyUser,
    context: InContext,
    through: Annotated[int, Query(ge=0, le=2**31 - 1, description="The last position to go.")],
) -> RemovedAnswer:
    """Remove what has settled up to a position: results, their originals, and failures."""
    workload = await visible_workload(context, user, workload_id)
    images = await context.datastore.remove_settled(workload.id, through=through)
    try:
        for image in images:
            await context.images.remove(image)
        await context.datastore.forget_removed_images([image.id for image in images])
    except DpipError as error:  # The datastore knows that they are to go.
        log.warning(
            "files of removed images are left, will try again",
            workload=workload.id,
            reason=str(error),
        )
    originals = sum(image.kind is ImageKind.ORIGINAL for image in images)
    return RemovedAnswer(workload_id=workload.id, images=originals)
