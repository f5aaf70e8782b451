import subprocess
import sys

import pytest

from dpip.errors import InvalidValue
from dpip.filters.blur import Blur
from dpip.filters.flip import Flip
from dpip.filters.grayscale import Grayscale
from dpip.filters.invert import Invert
from dpip.filters.pipeline import (
    MAX_STEPS,
    Pipeline,
    decode_pipeline,
    describe,
    encode_pipeline,
    parse_pipeline,
)
from dpip.filters.registry import Step
from dpip.filters.rotate import Rotate
from dpip.filters.sharpen import Sharpen
from dpip.filters.thumbnail import Thumbnail


@pytest.mark.parametrize(
    ("text", "parameters", "steps"),
    [
        ("grayscale", {}, (Grayscale(),)),
        ("greyscale", {}, (Grayscale(),)),
        ("blur", {}, (Blur(sigma=3),)),
        ("blur:sigma=5", {}, (Blur(sigma=5),)),
        ("blur:radius=5", {}, (Blur(sigma=5),)),
        ("blur", {"sigma": 5}, (Blur(sigma=5),)),
        ("blur", {"radius": "0.5"}, (Blur(sigma=0.5),)),
        (" grayscale , blur : sigma = 2 ", {}, (Grayscale(), Blur(sigma=2))),
        ("thumbnail", {}, (Thumbnail(size=256),)),
        ("thumbnail", {"size": "99"}, (Thumbnail(size=99),)),
        ("sharpen:sigma=2:amount=0.5", {}, (Sharpen(sigma=2, amount=0.5),)),
        ("rotate:angle=270", {}, (Rotate(angle=270),)),
        ("rotate", {"angle": 180}, (Rotate(angle=180),)),
        ("flip,flip:direction=vertical", {}, (Flip(), Flip(direction="vertical"))),
        ("invert", {}, (Invert(),)),
    ],
)
def test_text_and_fields_name_a_pipeline(
    text: str, parameters: dict[str, object], steps: tuple[Step, ...]
) -> None:
    """Steps, parameters and their other names are understood."""
    assert parse_pipeline(text, parameters) == Pipeline(steps=steps)


@pytest.mark.parametrize(
    ("text", "parameters", "field", "named"),
    [
        ("", {}, "filter", "grayscale, blur"),
        ("sepia", {}, "filter", "grayscale, blur"),
        ("thumbnail:size=0", {}, "size", "at least 1 and at most 4096"),
        ("thumbnail:size=4097", {}, "size", "at least 1 and at most 4096"),
        ("thumbnail:size=2.5", {}, "size", "at least 1 and at most 4096"),
        ("sharpen:amount=11", {}, "amount", "above 0 and at most 10"),
        ("rotate:angle=45", {}, "angle", "one of 90, 180, 270"),
        ("rotate:angle=left", {}, "angle", "one of 90, 180, 270"),
        ("flip:direction=down", {}, "direction", "one of horizontal, vertical"),
        ("blur,", {}, "filter", "grayscale, blur"),
        ("blur:5", {}, "filter", "blur:sigma=5"),
        ("blur:sigma=0", {}, "sigma", "above 0 and at most 100"),
        ("blur:sigma=101", {}, "sigma", "above 0 and at most 100"),
        ("blur:sigma=nan", {}, "sigma", "above 0 and at most 100"),
        ("blur:radius=wide", {}, "radius", "above 0 and at most 100"),
        ("blur", {"sigma": True}, "sigma", "above 0 and at most 100"),
        ("blur:sigma=2", {"radius": 3}, "radius", "twice"),
        ("blur:strength=2", {}, "strength", "sigma"),
        ("grayscale", {"sigma": 2}, "sigma", "no parameters"),
        ("grayscale,blur", {"sigma": 2}, "sigma", "grayscale,blur:sigma=2"),
        (",".join(["blur"] * (MAX_STEPS + 1)), {}, "filter", str(MAX_STEPS)),
    ],
)
def test_a_mistake_is_answered_with_the_field_and_what_it_may_be(
    text: str, parameters: dict[str, object], field: str, named: str
) -> None:
    """The error names the field as the user wrote it, and the allowed values."""
    with pytest.raises(InvalidValue) as caught:
        parse_pipeline(text, parameters)
    assert caught.value.facts["field"] == field
    assert named in str(caught.value)


def test_a_pipeline_survives_json() -> None:
    """Its steps travel as a list of tagged objects, alone or with what is to be kept."""
    pipeline = parse_pipeline("grayscale,blur:sigma=2", keep_metadata=True)
    content = encode_pipeline(pipeline)
    steps = b'[{"filter":"grayscale"},{"filter":"blur","sigma":2.0}]'
    assert content == b'{"steps":' + steps + b',"keep_metadata":true}'
    assert decode_pipeline(content) == pipeline
    assert decode_pipeline(steps) == Pipeline(steps=pipeline.steps, keep_metadata=False)


def test_a_level_of_compression_is_within_bounds() -> None:
    """It may be text, travels as JSON unless it is the usual one, and is refused with its range."""
    usual, small = parse_pipeline("blur"), parse_pipeline("blur", png_compression="9")
    assert (usual.png_compression, small.png_compression) == (1, 9)
    assert b"png_compression" not in encode_pipeline(usual)
    assert decode_pipeline(encode_pipeline(small)) == small
    for level in (10, -1, "best", 1.5, True):
        with pytest.raises(InvalidValue, match=r"png_compression.*at least 0 and at most 9"):
            parse_pipeline("blur", png_compression=level)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b'[{"filter":"rm"}]', b'[{"filter":"blur","sigma":1e9}]'],
)
def test_no_other_json_is_a_pipeline(content: bytes) -> None:
    """Unknown filters and values out of bounds are refused on the way in, too."""
    with pytest.raises(InvalidValue):
        decode_pipeline(content)


def test_a_pipeline_is_described_by_the_names_of_its_filters() -> None:
    """Aliases are shown by their canonical names."""
    assert describe(parse_pipeline("greyscale,blur:radius=2")) == "grayscale,blur"


def test_pipelines_are_known_without_decoders() -> None:
    """The API can check a pipeline without native code in its process."""
    program = (
        "import dpip.filters.result_header, sys; "
        "sys.exit(not {'pyvips', 'PIL'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
