"""Personal tokens: made for programs, listed, revoked."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from dpip.api.auth import AnyUser, logged_in, new_personal_secret, token_hash
from dpip.api.body import json_object, small_body
from dpip.api.context import InContext
from dpip.api.lookup import owner_filter
from dpip.api.openapi import problems, taken
from dpip.api.token_schemas import (
    NewTokenAnswer,
    RevokedAnswer,
    TokenList,
    TokenRequest,
    TokenSummary,
)
from dpip.errors import NotFound
from dpip.model.ids import is_id
from dpip.model.user import LONGEST_TOKEN_DAYS, PersonalToken, Scope

router = APIRouter(prefix="/tokens")

_BODY = taken(
    {
        "application/json": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "scope": {"type": "string", "enum": list(Scope), "default": "write"},
                "days": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": LONGEST_TOKEN_DAYS,
                    "default": 90,
                },
            },
            "required": ["name"],
            "additionalProperties": False,
        }
    },
    required=True,
)


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    dependencies=[Depends(logged_in)],
    openapi_extra=_BODY,
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
)
async def create_token(
    request: Request, response: Response, user: AnyUser, context: InContext
) -> NewTokenAnswer:
    """Make a personal token, which is shown this once."""
    wanted = _wanted(await small_body(request))
    token = PersonalToken.of(
        user, name=wanted.name, scope=wanted.scope, days=wanted.days, now=context.clock.now()
    )
    secret = new_personal_secret()
    await context.datastore.add_personal_token(token_hash(secret), token)
    response.headers["Cache-Control"] = "no-store"
    return NewTokenAnswer.with_secret(token, user.name, secret)


@router.get("")
async def list_tokens(user: AnyUser, context: InContext) -> TokenList:
    """List personal tokens: one's own or, for an administrator, everybody's."""
    owner_id = owner_filter(user)
    users = [user] if owner_id else await context.datastore.users()
    names = {each.id: each.name for each in users}
    tokens = await context.datastore.personal_tokens(user_id=owner_id)
    return TokenList(
        tokens=[
            TokenSummary.of(token, names[token.user_id])
            for token in tokens
            if token.user_id in names
        ]
    )


@router.delete(
    "/{token_id}",
    dependencies=[Depends(logged_in)],
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def revoke_token(token_id: str, user: AnyUser, context: InContext) -> RevokedAnswer:
    """End a personal token at once."""
    owner_id = owner_filter(user)
    if not is_id(token_id) or not await context.datastore.revoke_token(token_id, user_id=owner_id):
        raise NotFound(kind="token", id=token_id)
    return RevokedAnswer(token_id=token_id)


def _wanted(body: bytes) -> TokenRequest:
    try:
        return TokenRequest.model_validate(json_object(body))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
