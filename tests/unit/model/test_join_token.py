"""A join token is read as it was shown, and admits as long as it is in force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.errors import InvalidValue
from dpip.model.join_token import JoinSecret, JoinToken, check_join_token_name

AUTHORITY = "0123456789abcdef" * 4
SHOWN = JoinSecret(id="0123456789ab", secret="s3cret_-" * 5 + "abc", authority=AUTHORITY)


@pytest.mark.parametrize("authority", [None, AUTHORITY])
def test_a_secret_is_read_as_it_was_shown(authority: str | None) -> None:
    """Its end of line may come with it."""
    secret = JoinSecret.new(authority)
    assert JoinSecret.read(f"{secret}\n") == secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        f"x{SHOWN}",
        f"{SHOWN}x",
        str(SHOWN).replace(".", ":"),
        str(SHOWN).upper(),
        f"{SHOWN.id}.{AUTHORITY[1:]}.{SHOWN.secret}",
        f"*.{SHOWN.secret}",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    """Without a word of it in the message beyond its start."""
    with pytest.raises(InvalidValue, match="dpip join-token create") as caught:
        JoinSecret.read(text)
    assert SHOWN.secret not in str(caught.value)


@given(text=st.text(max_size=150))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else can happen."""
    try:
        secret = JoinSecret.read(text)
    except InvalidValue:
        return
    assert str(secret) == text.strip()


def test_the_secret_is_what_admits() -> None:
    """Until it expires; what is stored of it admits nobody."""
    token = JoinToken(
        id=SHOWN.id, name="cellar", secret_hash=SHOWN.hash, created_at=0, expires_at=10
    )
    assert token.admits(SHOWN.secret, 9.9)
    assert not token.admits(SHOWN.secret, 10)
    assert not token.admits(SHOWN.hash, 9.9)
    assert not token.admits("", 9.9)
    assert SHOWN.secret not in repr(token)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "x" * 65, "ä"])
def test_a_name_is_a_word(name: str) -> None:
    """It is one in lists, and on command lines."""
    with pytest.raises(InvalidValue, match="letters, digits"):
        check_join_token_name(name)
    assert check_join_token_name("cellar-2_b") == "cellar-2_b"
