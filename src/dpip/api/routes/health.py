"""Whether the API lives, and whether it can serve."""

from http import HTTPStatus

from fastapi import APIRouter

from dpip.api.context import InContext
from dpip.api.openapi import OPEN, problems
from dpip.api.schemas import HealthAnswer
from dpip.errors import StorageFull, StorageUnavailable

router = APIRouter()


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", openapi_extra=OPEN)
async def healthz() -> HealthAnswer:
    """Answer while the process is up."""
    return HealthAnswer()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", openapi_extra=OPEN, responses=problems(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(context: InContext) -> HealthAnswer:
    """Answer 200 while the datastore can be read and written."""
    try:
        await context.datastore.ready()
    except StorageFull as error:
        raise StorageUnavailable(storage="datastore", reason=error) from error
    return HealthAnswer()
