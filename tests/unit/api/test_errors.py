"""Every error reaches a client as a problem document."""

import json
from typing import Any

import pytest
from fastapi import FastAPI, Query

from dpip import errors
from dpip.api.errors import answer_errors, problem
from dpip.api.request_log import RequestLog
from tests.unit.api.asgi import ask

FACTS: dict[str, Any] = {
    "reason": "of that",
    "folder": "out",
    "field": "sigma",
    "value": "\ud800",
    "allowed": "0 to 1",
    "action": "this",
    "kind": "image",
    "id": "x",
    "what": "it",
    "limit": 3,
    "left": 2,
    "wait": 5,
    "setting": "s",
    "formats": "PNG",
    "attempt": 1,
    "job_id": "j",
    "storage": "datastore",
    "name": "n",
    "source": "s",
    "part": "p",
    "address": "a",
    "subject": "s",
    "seconds": 1,
    "url": "u",
    "path": "/p",
    "method": "PUT",
    "size": 10,
    "authority": "00",
    "term": 1,
    "present": 2,
    "state": "lost",
}


KINDS = [
    kind
    for kind in errors.DpipError.__subclasses__()
    # Those of other parts never reach a client; this one is what the SDK makes of a document.
    if kind.__module__ == errors.__name__ and kind is not errors.ApiRefused
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_document(kind: type[errors.DpipError]) -> None:
    """Code, status, title, detail and facts are there; a time to come back is in the header."""
    answer = problem(kind(**FACTS))
    document = json.loads(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert answer.status_code == document["status"] == kind.status
    assert document["code"] == kind.code
    assert document["type"].endswith(kind.code)
    assert document["title"]
    assert document["detail"]
    assert document["setting"] == "s"
    assert ("Retry-After" in answer.headers) == (kind.retry_after is not None)


def test_a_challenge_goes_with_every_401() -> None:
    """A login is asked for as Basic, everything else as a bearer token."""
    assert problem(errors.WrongPassword()).headers["WWW-Authenticate"].startswith("Basic realm=")
    assert problem(errors.Unauthenticated()).headers["WWW-Authenticate"].startswith("Bearer")


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(openapi_url=None)
    answer_errors(app)
    app.add_middleware(RequestLog)

    @app.get("/fails")
    async def fails() -> None:
        raise ZeroDivisionError("secret")

    @app.get("/number")
    async def number(value: int = Query(ge=1)) -> int:
        return value

    @app.post("/number")
    async def post() -> None: ...

    return app


async def test_an_unexpected_exception_is_an_incident(app: FastAPI) -> None:
    """The client learns an incident's id, and nothing of what went wrong."""
    document, headers = await ask(app, "GET", "/fails")
    assert headers["content-type"] == "application/problem+json"
    assert document["status"] == 500
    assert document["code"] == "internal_error"
    assert document["incident"]
    assert "secret" not in str(document)
    assert "ZeroDivision" not in str(document)


async def test_a_value_out_of_bounds_names_field_and_bounds(app: FastAPI) -> None:
    """FastAPI's own validation wears the same form."""
    document, _ = await ask(app, "GET", "/number", query="value=0")
    assert (document["status"], document["code"]) == (422, "invalid_value")
    assert (document["field"], document["value"]) == ("value", "0")
    assert "greater than or equal to 1" in document["allowed"]


async def test_an_unknown_path_is_not_found(app: FastAPI) -> None:
    """The router's 404 is a problem document too."""
    document, _ = await ask(app, "GET", "/nowhere")
    assert (document["status"], document["code"]) == (404, "not_found")


async def test_a_wrong_method_is_told_the_right_ones(app: FastAPI) -> None:
    """The router's 405 names every method of the path."""
    document, headers = await ask(app, "PUT", "/number")
    assert (document["status"], document["code"]) == (405, "method_not_allowed")
    assert headers["allow"] == "GET, POST"
