"""Every error as a problem document (RFC 9457)."""

import json
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from dpip.errors import (
    DpipError,
    InvalidValue,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    Unauthenticated,
    WrongPassword,
)

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_CHALLENGES: dict[type[DpipError], str] = {
    Unauthenticated: 'Bearer realm="DPIP"',
    WrongPassword: 'Basic realm="DPIP", charset="UTF-8"',
}


def problem(error: DpipError, **facts: object) -> Response:
    """Return ``error`` as an answer; its facts and ``facts`` become members of the document."""
    members = {
        "type": f"urn:dpip:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": str(error),
        "code": error.code,
    }
    return Response(
        # ASCII only: what a client sent comes back whatever characters it is made of.
        json.dumps(members | error.facts | facts | members, default=str),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=_headers(error),
    )


def answer_errors(app: FastAPI) -> None:
    """Let every error of ``app`` that has an answer be answered with a problem document.

    The unexpected ones are answered by ``dpip.api.request_log``, which has to be installed too.
    """
    app.add_exception_handler(DpipError, _answer_dpip_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(ClientDisconnect, _answer_disconnect)


def _headers(error: DpipError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if challenge := _CHALLENGES.get(type(error)):
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = str(error.facts["allowed"])
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.facts['size']}"
    return headers


async def _answer_dpip_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, DpipError)  # noqa: S101  # nosec B101 # for the type checker
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request not served", code=error.code, reason=str(error))
    return problem(error)


async def _answer_validation_error(
    request: Request,  # noqa: ARG001
    error: Exception,
) -> Response:
    # For the type checker.
    assert isinstance(error, RequestValidationError)  # noqa: S101  # nosec B101
    first: dict[str, Any] = error.errors()[0]
    return problem(
        InvalidValue(field=first["loc"][-1], value=first["input"], allowed=first["msg"].lower())
    )


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # nosec B101 # for the type checker
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods_of(request))
        return problem(
            MethodNotAllowed(path=request.url.path, method=request.method, allowed=allowed)
        )
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(NotFound(kind="path", id=request.url.path))
    return problem(MalformedRequest(reason=error.detail))


def _methods_of(request: Request) -> list[str]:
    """The methods that some route takes on the request's path."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _answer_disconnect(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return problem(MalformedRequest(reason="the connection ended before the request did"))
