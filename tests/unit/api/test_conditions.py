"""Range and conditional headers mean what RFC 9110 says."""

import pytest

from dpip.api.conditions import etag_listed, wanted_range
from dpip.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-5", range(2, 6)),
        ("bytes=2-", range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
        ("bytes=5-999", range(5, 10)),
        ("Bytes=1-2", range(1, 3)),
    ],
)
def test_a_single_range_is_given(header: str, wanted: range) -> None:
    """A first and last byte, an open end and a suffix are all understood."""
    assert wanted_range(header, 10) == wanted


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=a-b", "x"],
)
def test_a_range_that_cannot_be_read_asks_for_everything(header: str | None) -> None:
    """Other units, several ranges and nonsense are passed over."""
    assert wanted_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    """The refusal says how many bytes there are."""
    with pytest.raises(RangeNotSatisfiable) as refusal:
        wanted_range(header, 10)
    assert refusal.value.facts == {"size": 10}


@pytest.mark.parametrize(
    ("listed", "covered"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
    ],
)
def test_if_none_match_compares_weakly(listed: str, covered: bool) -> None:
    """A list, a weak tag and the asterisk cover the tag; another tag does not."""
    assert etag_listed(listed, '"a"') is covered
