"""The API, described for programs."""

from typing import Any

from fastapi import APIRouter, Request

router = APIRouter()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    """Show the OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document
