import pytest

from dpip.errors import InvalidValue
from dpip.model.note import MAX_NOTES, Note, notes_as_text, notes_in_text, sentence_of


def codes(number: int) -> list[str]:
    return ["n" * length for length in range(1, number + 1)]


@pytest.mark.parametrize("note", Note)
def test_each_note_says_something_to_people(note: Note) -> None:
    """In a sentence, and in a form that every server takes."""
    assert "newer version" not in sentence_of(note)
    assert notes_in_text(note) == (note,)


def test_a_note_of_a_newer_version_is_named() -> None:
    """Its sentence is not known here."""
    assert "tea_spilled" in sentence_of("tea_spilled")


@pytest.mark.parametrize("notes", [[], codes(1), codes(MAX_NOTES), ["x" * 40]])
def test_what_becomes_text_comes_back(notes: list[str]) -> None:
    """Unknown codes too, each once."""
    assert notes_in_text(notes_as_text([*notes, *notes])) == tuple(notes)


@pytest.mark.parametrize(
    "text",
    [",", "a,", "a,,b", "A", "a b", "a\n", "a\x1b[31m", "ä", "x" * 41, ",".join(codes(17))],
)
def test_text_of_another_form_is_refused(text: str) -> None:
    """Whatever a worker may send."""
    with pytest.raises(InvalidValue, match="notes"):
        notes_in_text(text)
