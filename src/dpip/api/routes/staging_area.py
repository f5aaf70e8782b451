"""The staging area of a process that shares the image store's file system."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response

from dpip.api.auth import bearer_token, may_change
from dpip.api.context import InContext
from dpip.api.openapi import problems
from dpip.errors import NotFound
from dpip.model.image_place import staging_area

router = APIRouter(prefix="/staging-area")


@router.get(
    "",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    dependencies=[Depends(may_change)],
    responses=problems(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
async def see_staging_area(request: Request, context: InContext) -> None:
    """Say whether the image store has the directory in which the caller would stage pictures.

    Its name is made of the caller's token, so the caller has made it, and can write there.
    """
    if not await context.images.sees_area(staging_area(bearer_token(request))):
        raise NotFound(kind="staging area", id="of this token")
