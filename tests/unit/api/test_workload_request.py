"""A workload is asked for in JSON, in a form, or not at all."""

import pytest
from fastapi import Request
from starlette.types import Message

from dpip.api.workload_request import WorkloadRequest, read_workload_request
from dpip.errors import DpipError, InvalidValue, MalformedRequest
from dpip.filters.pipeline import parse_pipeline
from dpip.model.requirements import Requirements

NOW = 1_800_000_000.0


async def read(body: bytes = b"", content_type: str | None = None) -> WorkloadRequest:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    return await read_workload_request(request, NOW)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"filter":"blur","sigma":5,"workload_name":"a b"}', "application/json; charset=utf-8"),
        (b'{"filter":"blur","sigma":5,"workload_name":"a b"}', None),
        (b'{"filter":"blur:sigma=5","workload_name":"a b"}', "application/json"),
        (b"filter=blur&sigma=5&workload_name=a+b", "application/x-www-form-urlencoded"),
    ],
)
async def test_the_same_is_said_in_several_ways(body: bytes, content_type: str | None) -> None:
    """JSON, with and without its type, and a form mean the same."""
    wanted = WorkloadRequest(name="a b", pipeline=parse_pipeline("blur:sigma=5"))
    assert await read(body, content_type) == wanted


@pytest.mark.parametrize("body", [b"", b"{}", b'{"filter":null,"workload_name":null}'])
async def test_what_is_left_out_has_a_default(body: bytes) -> None:
    """Grayscale, under a name of its own."""
    first, second = await read(body), await read(body)
    assert first.pipeline == second.pipeline == parse_pipeline("grayscale")
    assert first.name != second.name


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"keep_metadata": true}', "application/json"),
        (b"keep_metadata=true", "application/x-www-form-urlencoded"),
        (b"keep_metadata=1", "application/x-www-form-urlencoded"),
    ],
)
async def test_metadata_is_kept_only_if_that_is_asked_for(body: bytes, content_type: str) -> None:
    """In JSON or in words."""
    assert (await read(body, content_type)).pipeline.keep_metadata
    assert not (
        await read(body.replace(b"true", b"false").replace(b"1", b"0"), content_type)
    ).pipeline.keep_metadata


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"tags":["a","b"],"priority":2,"gpu":null,"filter":"blur","sigma":5}', None),
        (b"tags=a,b&priority=2&filter=blur&sigma=5", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_asked_for_stands_beside_the_filters_parameters(
    body: bytes, content_type: str | None
) -> None:
    """A filter is given none of it."""
    wanted = await read(body, content_type)
    assert wanted.requirements == Requirements(tags=("a", "b"), priority=2)
    assert wanted.pipeline == parse_pipeline("blur:sigma=5")


@pytest.mark.parametrize("name", ["", 201 * "x", "a\nb", "\0", "\x7f", "\u2028"])
async def test_a_name_that_breaks_a_line_is_refused(name: str) -> None:
    """A name has 1 to 200 characters, and none that controls a terminal."""
    with pytest.raises(InvalidValue, match="workload_name"):
        await read(f"workload_name={name}".encode(), "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"filter": "blur", "sigma": {"a": 1}}', InvalidValue),
        (b'{"filter": "blur:sigma=5", "sigma": 5}', InvalidValue),
        (b'{"filter": ""}', InvalidValue),
        (b'{"sigma": 1}', InvalidValue),
        (b'{"keep_metadata": "perhaps"}', InvalidValue),
        (b'{"keep_metadata": []}', InvalidValue),
        (b'{"png_compression": 10}', InvalidValue),
        (b'{"priority": 11}', InvalidValue),
        (b'{"deadline": "2027-01-15T07:59:59Z"}', InvalidValue),
        (b'{"filter": "blur"', MalformedRequest),
        (b'{"workload_name": "\\ud800"}', MalformedRequest),
    ],
)
async def test_a_request_of_no_sense_is_refused(body: bytes, error: type[DpipError]) -> None:
    """Broken JSON is malformed; a value that a filter does not take is invalid."""
    with pytest.raises(error):
        await read(body, "application/json")
