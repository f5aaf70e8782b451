"""Forms are taken apart the same way however their bytes arrive."""

import contextlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.api.multipart import MultipartForm
from dpip.errors import InvalidValue, MalformedRequest, UnsupportedMediaType

BOUNDARY = "bound"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def read(*chunks: bytes, content_type: str = CONTENT_TYPE) -> tuple[dict[str, str], bytes | None]:
    form = MultipartForm(content_type)
    of_file = b"".join(piece for chunk in chunks for piece in form.feed(chunk))
    form.finish()
    return form.fields, of_file if form.has_file else None


def split(whole: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


@given(
    picture=st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([b"\r\n", b"--", b"bound", b"\r", b"-", b"x"])).map(b"".join),
    ).filter(lambda content: b"\r\n--bound" not in b"\r\n" + content),
    text=st.text(max_size=40),
    cuts=st.lists(st.integers(min_value=0, max_value=2000), max_size=12),
    file_at=st.integers(min_value=0, max_value=2),
)
def test_any_order_and_any_split_give_the_same_form(
    picture: bytes, text: str, cuts: list[int], file_at: int
) -> None:
    """File and fields come out whole, in whatever order and pieces they were sent."""
    if "\r\n--bound" in "\r\n" + text:
        return
    parts = [part("workload_id", text.encode()), part("type", b"original")]
    parts.insert(file_at, part("data", picture, "0.png"))
    fields, content = read(*split(body(*parts), cuts))
    assert fields == {"workload_id": text, "type": "original"}
    assert content == picture


@given(
    noise=st.binary(max_size=200),
    cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=5),
)
def test_noise_is_refused_or_read_and_nothing_else(noise: bytes, cuts: list[int]) -> None:
    """Bytes without sense raise one of the two errors of a form, or happen to be one."""
    start = part("data", b"picture")[:-2]
    with contextlib.suppress(MalformedRequest, InvalidValue):
        read(*split(start + noise, cuts))


@pytest.mark.parametrize("name", ["data", "file", "image"])
def test_the_file_has_three_names(name: str) -> None:
    """The field of the file may be called data, file or image, with or without a file name."""
    assert read(body(part(name, b"abc", "x.png"))) == ({}, b"abc")
    assert read(body(part(name, b"abc"))) == ({}, b"abc")


def test_a_broken_off_body_is_malformed() -> None:
    """Wherever a body is cut off before its last boundary, it is refused."""
    whole = body(part("data", b"picture", "x.png"), part("type", b"original"))
    for end in range(len(whole) - 3):
        with pytest.raises(MalformedRequest):
            read(whole[:end])


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("multipart/form-data", MalformedRequest),
        ("multipart/form-data; boundary=", MalformedRequest),
        ("multipart/form-data; boundary=" + 300 * "x", MalformedRequest),
        ("application/json", UnsupportedMediaType),
        ("", UnsupportedMediaType),
    ],
)
def test_a_content_type_of_no_use_is_refused(content_type: str, error: type[Exception]) -> None:
    """Without multipart and its boundary nothing is read."""
    with pytest.raises(error):
        MultipartForm(content_type)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([part("data", b"a", "a"), part("image", b"b", "b")], InvalidValue),
        ([part("picture", b"a", "a")], InvalidValue),
        ([part("type", b"a"), part("type", b"a")], InvalidValue),
        ([part("type", b"\xff")], MalformedRequest),
        ([part("type", 5000 * b"x")], MalformedRequest),
        ([part(f"field{number}", b"") for number in range(40)], MalformedRequest),
        ([b"--bound\r\nX: " + 9000 * b"x" + b"\r\n\r\n\r\n"], MalformedRequest),
    ],
    ids=["two files", "file elsewhere", "field twice", "no utf-8", "long", "many", "long header"],
)
def test_a_form_out_of_bounds_is_refused(parts: list[bytes], error: type[Exception]) -> None:
    """There is one file and one value a field, and both number and size of fields are bounded."""
    with pytest.raises(error):
        read(body(*parts))
