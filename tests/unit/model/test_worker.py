import pytest

from dpip.errors import InvalidValue
from dpip.model.worker import check_tags, check_worker_name


@pytest.mark.parametrize("name", ["a", "local-1", "Node_7", "x" * 64])
def test_letters_digits_dash_and_underscore_make_a_name(name: str) -> None:
    """A name that can be a worker's comes back as it is."""
    assert check_worker_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "a.b",
        "a b",
        "*",
        ">",
        "a/b",
        "a\n",
        "\na",
        "a\r\nPUB x 0",
        "ä",
        "a\0",
        "..",
        "1²",
    ],
)
def test_no_other_name_is_a_workers(name: str) -> None:
    """Nothing that means something in a subject, a path or a line gets through."""
    with pytest.raises(InvalidValue) as caught:
        check_worker_name(name)
    assert caught.value.facts["value"] == name
    assert "letters, digits" in str(caught.value)


def test_tags_within_the_bounds_come_back() -> None:
    """As many and as long as may be."""
    tags = tuple(f"{number:064}" for number in range(16))
    assert check_tags(tags) == tags
    assert check_tags(()) == ()


@pytest.mark.parametrize(
    ("tags", "bound"),
    [(["fast", "x" * 65], "1 to 64"), ([""], "1 to 64"), (list(map(str, range(17))), "at most 16")],
)
def test_tags_beyond_the_bounds_are_refused(tags: list[str], bound: str) -> None:
    """The error says which bound."""
    with pytest.raises(InvalidValue, match=bound):
        check_tags(tags)
