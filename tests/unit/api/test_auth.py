"""Credentials are read from the Authorization header, or refused."""

import base64

import pytest
from fastapi import Request

from dpip.api.auth import basic_credentials, bearer_token, new_token, token_hash
from dpip.errors import Unauthenticated, WrongPassword


def request(authorization: str | None) -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("ann:secret", ("ann", "secret")),
        ("ann:with:colons", ("ann", "with:colons")),
        ("änn:pässwörd", ("änn", "pässwörd")),
        (":", ("", "")),
    ],
)
def test_name_and_password_are_read(text: str, credentials: tuple[str, str]) -> None:
    """The first colon parts them, and both are UTF-8."""
    assert basic_credentials(request(basic(text))) == credentials
    assert basic_credentials(request(basic(text).replace("Basic", "basic"))) == credentials


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ???",
        "Basic \xff",
        "Basic /w==",
        basic("ann"),
        basic("a\0:b"),
        "Bearer abc",
        basic("ann:x").replace("Basic", "Digest"),
    ],
)
def test_anything_else_is_no_login(authorization: str | None) -> None:
    """What is no Basic authentication is refused like a wrong password."""
    with pytest.raises(WrongPassword):
        basic_credentials(request(authorization))


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer  ", "Basic abc", "abc"])
def test_without_a_bearer_token_nobody_is_known(authorization: str | None) -> None:
    """A missing token is told from a present one before anything is looked up."""
    with pytest.raises(Unauthenticated):
        bearer_token(request(authorization))


def test_a_token_is_long_and_kept_as_its_hash() -> None:
    """A token has 256 bits, never comes twice, and cannot be read from its hash."""
    token = new_token()
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    assert token != new_token()
    assert token not in token_hash(token)
    assert len(token_hash(token)) == 64
