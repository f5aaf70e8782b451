"""What a client asks for when it creates a workload: JSON, a form, or nothing at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request
from python_multipart.multipart import parse_options_header

from dpip.api import multipart
from dpip.api.body import json_object, small_body
from dpip.api.openapi import taken
from dpip.errors import InvalidValue, MalformedRequest, UnsupportedMediaType
from dpip.filters.pipeline import USUAL_PNG_COMPRESSION, Pipeline, parse_pipeline
from dpip.model.ids import new_id
from dpip.model.requirements import (
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    MOST_WEIGHT,
    NO_REQUIREMENTS,
    GpuUse,
    Requirements,
    read_requirements,
)
from dpip.model.worker import LONGEST_TAG, MOST_TAGS
from dpip.plain_text import is_plain

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_DEFAULT_FILTER = "grayscale"
_REQUIREMENTS = Requirements.__struct_fields__
_MOST_FIELDS = 32
_NAME_LENGTH = 200

_TAGS = {
    "oneOf": [
        {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_TAG},
            "maxItems": MOST_TAGS,
        },
        {"type": "string", "description": "Tags with commas between them."},
    ],
    "default": [],
}
_FIELDS = {
    "type": "object",
    "description": "All fields are optional; the filter's parameters may be given besides.",
    "properties": {
        "filter": {"type": "string", "default": _DEFAULT_FILTER, "examples": ["blur"]},
        "workload_name": {"type": "string", "minLength": 1, "maxLength": _NAME_LENGTH},
        "keep_metadata": {
            "type": "boolean",
            "default": False,
            "description": "Results carry all metadata, such as place, owner and serial numbers.",
        },
        "png_compression": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9,
            "default": USUAL_PNG_COMPRESSION,
            "description": "Level at which a PNG is compressed: 1 the fastest, 9 the smallest.",
        },
        "tags": {**_TAGS, "description": "A worker has to carry all of them."},
        "prefer_tags": {**_TAGS, "description": "The more a worker carries, the better."},
        "gpu": {
            "enum": list(GpuUse),
            "default": GpuUse.NEVER,
            "description": "Whether a worker has to have a GPU.",
        },
        "priority": {
            "type": "integer",
            "minimum": LOWEST_PRIORITY,
            "maximum": HIGHEST_PRIORITY,
            "default": 0,
            "description": "Of your workloads, those of higher priority go first.",
        },
        "weight": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_WEIGHT,
            "default": 1,
            "description": "Of your workloads of one priority, twice as much for twice the weight.",
        },
        "deadline": {
            "type": "string",
            "format": "date-time",
            "description": "When all should be done: to come, and with its offset from UTC.",
        },
    },
    "additionalProperties": True,
}
BODY = taken(dict.fromkeys([_JSON, _FORM, multipart.MEDIA_TYPE], _FIELDS), required=False)
"""``openapi_extra`` of a route that takes such a request."""


@dataclass(frozen=True)
class WorkloadRequest:
    """A workload to be."""

    name: str
    pipeline: Pipeline
    requirements: Requirements = NO_REQUIREMENTS


async def read_workload_request(request: Request, now: float) -> WorkloadRequest:
    """Read the body, in which every field is optional, at the time ``now``.

    Raises ``InvalidValue``, ``MalformedRequest``, ``TooLarge`` or ``UnsupportedMediaType``.
    """
    body = await small_body(request)
    fields = _fields(body, request.headers.get("Content-Type", _JSON)) if body else {}
    given = {name: value for name, value in fields.items() if value is not None}
    name = given.pop("workload_name", None)
    text = given.pop("filter", _DEFAULT_FILTER)
    keep_metadata = _flag("keep_metadata", given.pop("keep_metadata", False))
    png_compression = given.pop("png_compression", USUAL_PNG_COMPRESSION)
    asked = {field: given.pop(field) for field in _REQUIREMENTS if field in given}
    if not isinstance(text, str):
        raise InvalidValue(field="filter", value=text, allowed="it is a text, such as blur")
    return WorkloadRequest(
        name=f"workload-{new_id()[-8:]}" if name is None else _checked_name(name),
        pipeline=parse_pipeline(
            text, given, keep_metadata=keep_metadata, png_compression=png_compression
        ),
        requirements=read_requirements(asked, now=now),
    )


def _fields(body: bytes, content_type: str) -> Mapping[str, object]:
    media_type = parse_options_header(content_type)[0].decode("latin-1")
    if media_type == _JSON:
        return json_object(body)
    if media_type == _FORM:
        return _form_fields(body)
    if media_type == multipart.MEDIA_TYPE:
        return _multipart_fields(body, content_type)
    raise UnsupportedMediaType(
        value=content_type, allowed=f"{_JSON}, {_FORM} or {multipart.MEDIA_TYPE}"
    )


def _form_fields(body: bytes) -> Mapping[str, object]:
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise MalformedRequest(reason=f"the form is broken: {error}") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise MalformedRequest(reason="the form gives a field twice")
    return fields


def _multipart_fields(body: bytes, content_type: str) -> Mapping[str, object]:
    form = multipart.MultipartForm(content_type)
    form.feed(body)
    form.finish()
    if form.has_file:
        raise InvalidValue(
            field="data", value="a file", allowed="pictures are sent to POST /images"
        )
    return form.fields


def _flag(field: str, value: object) -> bool:
    try:
        return msgspec.convert(value, bool, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidValue(field=field, value=value, allowed="it is true or false") from error


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= _NAME_LENGTH or not is_plain(name):
        raise InvalidValue(
            field="workload_name",
            value=name,
            allowed=f"a text of 1 to {_NAME_LENGTH} printable characters",
        )
    return name
