"""The OpenAPI document, with the errors, the bodies and the ways to authenticate in it."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dpip.api import errors
from dpip.api.schemas import Problem

BASIC: dict[str, Any] = {"security": [{"basic": []}]}
"""``openapi_extra`` of a route that takes user name and password."""

OPEN: dict[str, Any] = {"security": []}
"""``openapi_extra`` of a route that asks for no token."""

_SECURITY_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that can answer with these errors."""
    return {int(status): _problem(status.phrase) for status in statuses}


def any_problem() -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` for the errors that any request can meet."""
    return {
        **problems(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.METHOD_NOT_ALLOWED,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.INSUFFICIENT_STORAGE,
        ),
        "default": _problem("Something else went wrong."),
    }


def taken(schemas: dict[str, dict[str, Any]], *, required: bool) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that takes a body: a schema for each media type."""
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"requestBody": {"required": required, "content": content}}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the document for ``app``."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        components["securitySchemes"] = _SECURITY_SCHEMES
        document["security"] = [{"bearer": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {errors.MEDIA_TYPE: {"schema": schema}}}
