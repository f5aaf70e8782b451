"""Passwords are traded for tokens, and tokens given up."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from dpip.api.auth import AnyUser, basic_credentials, bearer_token, new_token, token_hash
from dpip.api.context import InContext
from dpip.api.openapi import BASIC, problems
from dpip.api.schemas import LoginAnswer, LogoutAnswer, utc
from dpip.errors import WrongPassword

login_router = APIRouter()
logout_router = APIRouter()

_SECONDS_OF_HOUR = 3600


@login_router.post(
    "/login",
    openapi_extra=BASIC,
    responses=problems(HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS),
)
async def login(request: Request, response: Response, context: InContext) -> LoginAnswer:
    """Trade user name and password, as HTTP Basic, for a token."""
    name, password = basic_credentials(request)
    host = request.client.host if request.client else ""
    attempt = await context.logins.begin(name, host)
    user = await context.datastore.user_named(name)
    matches = await context.passwords.match(user.password_hash if user else None, password)
    if user is None or not matches:
        raise WrongPassword
    await context.logins.succeeded(attempt)
    token = new_token()
    now = context.clock.now()
    expires_at = now + context.settings.login_hours * _SECONDS_OF_HOUR
    await context.datastore.add_token(
        token_hash(token), user_id=user.id, created_at=now, expires_at=expires_at
    )
    response.headers["Cache-Control"] = "no-store"
    return LoginAnswer(user=user.name, token=token, expires_at=utc(expires_at))


@logout_router.delete("/logout")
async def logout(request: Request, user: AnyUser, context: InContext) -> LogoutAnswer:
    """End the token that the request carries."""
    await context.datastore.remove_token(token_hash(bearer_token(request)))
    return LogoutAnswer(logout_message=f"Goodbye, {user.name}. The token is no longer valid.")
