"""What text of others becomes before it is shown."""

import json
import unicodedata
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from dpip.plain_text import LONGEST, PLAIN, is_plain, plain, plain_json

LEGIBLE = [
    "Straße, façade, naïve, Ελλάδα, Москва",
    "北京 東京 서울 ไทย हिन्दी",
    "שלום العربية क्\u200dष",
    "🏔️ 👨\u200d👩\u200d👧 🇨🇭",
    "a b\u00a0c [red] %20 \\x1b 'quoted'",
]
STEERING = {
    "\x1b[31m": r"\x1b[31m",
    "\x9b2J": r"\x9b2J",
    "a\r\nb\tc": r"a\r\nb\tc",
    "\x00\x7f": r"\x00\x7f",
    "gnp.\u202egpj": r"gnp.\u202egpj",
    "\u2066\u2069\u200e\u200f\u061c": r"\u2066\u2069\u200e\u200f\u061c",
    "ad\u200bmin ad\u200dmin \ufeffx\u00ad": r"ad\u200bmin ad\u200dmin \ufeffx\xad",
    "a\u2028b\u2029c\x85d": r"a\u2028b\u2029c\x85d",
    "\udcff.png": r"\udcff.png",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize("text", LEGIBLE)
def test_letters_of_all_scripts_and_emoji_stay(text: str) -> None:
    """With what joins them."""
    assert plain(text) == text
    assert is_plain(text)


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_or_hides_is_shown(text: str) -> None:
    """As in a string literal."""
    assert plain(text) == STEERING[text]
    assert not is_plain(text)


def test_no_control_character_and_no_surrogate_is_left() -> None:
    """Of all that there are."""
    categories = {"Cc", "Cs", "Zl", "Zp"}
    for character in map(chr, range(0x110000)):
        if unicodedata.category(character) in categories:
            assert not is_plain(character), hex(ord(character))
        if unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF"}:
            assert not is_plain(character), hex(ord(character))


def test_a_long_text_is_cut() -> None:
    """And says so."""
    assert plain("x" * 2 * LONGEST) == "x" * (LONGEST - 1) + "…"


@given(st.text(st.characters()))
def test_the_pattern_of_messages_is_the_same_rule(text: str) -> None:
    """What a message may carry is what needs no change."""
    try:
        msgspec.convert(text, Annotated[str, Meta(pattern=PLAIN)])
        is_accepted = True
    except msgspec.ValidationError:
        is_accepted = False
    assert is_accepted == is_plain(text)
    assert is_plain(plain(text))


@given(st.text(st.characters()))
def test_json_means_the_same(text: str) -> None:
    """And has nothing for a terminal in it."""
    document = plain_json(json.dumps({"name": text}, ensure_ascii=False))
    assert json.loads(document) == {"name": text}
    assert is_plain(document)
