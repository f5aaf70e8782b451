"""Personal tokens as the API takes and gives them."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from dpip.api.schemas import utc
from dpip.model.user import LONGEST_TOKEN_DAYS, PersonalToken, Scope


class TokenRequest(BaseModel):
    """A personal token to be."""

    model_config = ConfigDict(extra="forbid")

    name: str
    scope: Scope = Scope.WRITE
    days: Annotated[int, Field(ge=1, le=LONGEST_TOKEN_DAYS, strict=True)] = 90


class TokenSummary(BaseModel):
    """A personal token without its secret, which nobody knows but its user."""

    token_id: str
    user: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, token: PersonalToken, user: str) -> Self:
        """Show ``token`` of the user of that name."""
        return cls(**_token(token, user))


class NewTokenAnswer(TokenSummary):
    """A fresh personal token, with its secret this once."""

    token: str

    @classmethod
    def with_secret(cls, token: PersonalToken, user: str, secret: str) -> Self:
        """Show ``token``, its user and its secret."""
        return cls(**_token(token, user), token=secret)


class TokenList(BaseModel):
    """Personal tokens, oldest first."""

    tokens: list[TokenSummary]


class RevokedAnswer(BaseModel):
    """The personal token is dead."""

    token_id: str


def _token(token: PersonalToken, user: str) -> dict[str, Any]:
    return {
        "token_id": token.id,
        "user": user,
        "name": token.name,
        "scope": token.scope,
        "created_at": utc(token.created_at),
        "expires_at": utc(token.expires_at),
        "last_used_at": None if token.last_used_at is None else utc(token.last_used_at),
    }
