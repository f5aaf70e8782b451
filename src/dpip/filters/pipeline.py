"""Pipelines: the filters that a picture goes through, as text, as JSON and as values."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from dpip.errors import InvalidValue
from dpip.filters.registry import FILTERS, Filter, Step, filter_named, filter_of
from dpip.model.image import PictureHeader

PngCompression = Annotated[int, Meta(ge=0, le=9)]
"""Level of zlib: 0 is as it is, 1 the fastest, 9 the smallest."""

USUAL_PNG_COMPRESSION = 1


class Pipeline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Steps in the order in which they are applied, at least one, and how results are written.

    ``keep_metadata``: the result says where and by whose camera its original was taken.
    """

    steps: tuple[Step, ...]
    keep_metadata: bool = False
    png_compression: PngCompression = USUAL_PNG_COMPRESSION


MAX_STEPS = 16
"""Steps of one pipeline, so that a short request cannot ask for endless work."""

# The database may hold pipelines that are nothing but their steps.
_decoder: msgspec.json.Decoder[Pipeline | tuple[Step, ...]] = msgspec.json.Decoder(
    Pipeline | tuple[Step, ...]
)


def parse_pipeline(
    text: str,
    parameters: Mapping[str, object] | None = None,
    *,
    keep_metadata: bool = False,
    png_compression: object = USUAL_PNG_COMPRESSION,
) -> Pipeline:
    """Read steps such as ``blur``, ``blur:sigma=5`` or ``grayscale,blur:sigma=2``.

    ``parameters`` are those given as fields of their own, which a pipeline of one step may have;
    numbers may be text. Raises ``InvalidValue`` naming the field and what it may be.
    """
    steps = text.split(",")
    if len(steps) > MAX_STEPS:
        raise InvalidValue(field="filter", value=text, allowed=f"at most {MAX_STEPS} steps")
    apart = list((parameters or {}).items())
    if apart and len(steps) > 1:
        name, value = apart[0]
        raise InvalidValue(
            field=name,
            value=value,
            allowed="several filters have their parameters in the filter: grayscale,blur:sigma=2",
        )
    return Pipeline(
        steps=tuple(_parse_step(step, apart) for step in steps),
        keep_metadata=keep_metadata,
        png_compression=_within("png_compression", png_compression, PngCompression),
    )


def encode_pipeline(pipeline: Pipeline) -> bytes:
    """``pipeline`` as JSON; a step of it is such as ``{"filter":"blur","sigma":5.0}``."""
    return msgspec.json.encode(pipeline)


def decode_pipeline(content: bytes) -> Pipeline:
    """The pipeline that ``encode_pipeline`` made; raises ``InvalidValue`` for anything else."""
    try:
        pipeline = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(field="pipeline", value=content, allowed=error) from error
    return pipeline if isinstance(pipeline, Pipeline) else Pipeline(steps=pipeline)


def describe(pipeline: Pipeline) -> str:
    """The names of the filters, joined by commas."""
    return ",".join(filter_of(step).name for step in pipeline.steps)


def filtered_header(pipeline: Pipeline, header: PictureHeader) -> PictureHeader:
    """The header of what ``pipeline`` makes of a picture with ``header``."""
    for step in pipeline.steps:
        header = filter_of(step).header(header, step)
    return header


def _parse_step(text: str, apart: Iterable[tuple[str, object]]) -> Step:
    name, *assignments = (part.strip() for part in text.split(":"))
    filter = filter_named(name)  # noqa: A001
    if filter is None:
        names = ", ".join(known.name for known in FILTERS)
        raise InvalidValue(field="filter", value=name, allowed=f"it is one of {names}")
    values: dict[str, object] = {"filter": filter.name}
    for given, value in [*map(_parse_assignment, assignments), *apart]:
        parameter = filter.parameter_aliases.get(given, given)
        if parameter in values:
            raise InvalidValue(field=given, value=value, allowed=f"{parameter} is given twice")
        values[parameter] = _convert(filter, parameter, given, value)
    return msgspec.convert(values, filter.parameters)


def _parse_assignment(text: str) -> tuple[str, object]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise InvalidValue(
            field="filter", value=text, allowed="parameters are written as in blur:sigma=5"
        )
    return name, value


def _convert(filter: Filter, parameter: str, given: str, value: object) -> object:  # noqa: A002
    fields = {field.name: field for field in msgspec.structs.fields(filter.parameters)}
    field = fields.get(parameter)
    if field is None:
        takes = f"takes {', '.join(fields)}" if fields else "takes no parameters"
        raise InvalidValue(field=given, value=value, allowed=f"{filter.name} {takes}")
    return _within(given, value, field.type)


def _within(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidValue(field=name, value=value, allowed=_range_of(kind)) from error


def _range_of(kind: Any) -> str:
    bounds = msgspec.inspect.type_info(kind)
    if isinstance(bounds, msgspec.inspect.LiteralType):
        return f"it is one of {', '.join(map(str, bounds.values))}"
    if not isinstance(bounds, msgspec.inspect.FloatType | msgspec.inspect.IntType):
        return f"it is of type {kind}"
    limits = {
        "above": bounds.gt,
        "at least": bounds.ge,
        "below": bounds.lt,
        "at most": bounds.le,
    }
    named = [f"{name} {limit:g}" for name, limit in limits.items() if limit is not None]
    return f"it is a number {' and '.join(named)}".rstrip()
