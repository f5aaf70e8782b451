"""What a workload asks for, as JSON and forms say it."""

import pytest

from dpip.errors import InvalidValue
from dpip.model.requirements import NO_REQUIREMENTS, GpuUse, Requirements, read_requirements

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def test_nothing_is_asked_for_unless_it_is() -> None:
    """Every field may be left out."""
    assert read_requirements({}, now=NOW) == NO_REQUIREMENTS


@pytest.mark.parametrize(
    "given",
    [
        {
            "tags": ["fast", "gpu"],
            "prefer_tags": ["near"],
            "gpu": "required",
            "priority": -10,
            "weight": 100,
            "deadline": "2027-01-15T10:00:00+01:00",
        },
        {
            "tags": " fast,gpu ,,fast",
            "prefer_tags": "near",
            "gpu": "required",
            "priority": "-10",
            "weight": "100",
            "deadline": "2027-01-15T09:00:00Z",
        },
    ],
    ids=["json", "form"],
)
def test_values_and_texts_say_the_same(given: dict[str, object]) -> None:
    """Tags as a list or with commas, numbers as numbers or texts, a time in any time zone."""
    assert read_requirements(given, now=NOW) == Requirements(
        tags=("fast", "gpu"),
        prefer_tags=("near",),
        gpu=GpuUse.REQUIRED,
        priority=-10,
        weight=100,
        deadline=NOW + 3600,
    )


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("priority", 11, "a whole number from -10 to 10"),
        ("priority", -11, "a whole number from -10 to 10"),
        ("priority", 0.5, "a whole number from -10 to 10"),
        ("priority", "high", "a whole number from -10 to 10"),
        ("priority", True, "a whole number from -10 to 10"),
        ("weight", 0, "a whole number from 1 to 100"),
        ("weight", 101, "a whole number from 1 to 100"),
        ("weight", "1" * 5000, "a whole number from 1 to 100"),
        ("gpu", "yes", "one of never, preferred, required"),
        ("gpu", True, "one of never, preferred, required"),
        ("tags", [f"t{number}" for number in range(17)], "at most 16 words of 1 to 64"),
        ("tags", "x" * 65, "at most 16 words of 1 to 64"),
        ("tags", ["a\nb"], "printable"),
        ("tags", ["\ud800"], "printable"),
        ("tags", [1], "as a list or with commas"),
        ("prefer_tags", {"a": 1}, "as a list or with commas"),
        ("deadline", 1_800_003_600, "a time with its offset from UTC"),
        ("deadline", "1800003600", "a time with its offset from UTC"),
        ("deadline", "2027-01-15T09:00:00", "a time with its offset from UTC"),
        ("deadline", "tomorrow", "a time with its offset from UTC"),
        ("deadline", "2027-01-15T08:00:00Z", "still to come"),
        ("deadline", "0001-01-01T00:00:00+12:00", "still to come"),
        ("deadline", "9999-12-31T23:59:59.999999-12:00", "within 3650 days"),
    ],
)
def test_what_is_out_of_bounds_is_named_with_its_bounds(
    field: str, value: object, allowed: str
) -> None:
    """The error has the field, its value, and what it may be."""
    with pytest.raises(InvalidValue) as refused:
        read_requirements({field: value}, now=NOW)
    assert refused.value.facts["field"] == field
    assert refused.value.facts["value"] == value
    assert allowed in str(refused.value)
