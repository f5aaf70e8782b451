"""Who is asking: HTTP Basic for a login, a bearer token for everything else."""

import base64
import binascii
import hashlib
import secrets
from typing import Annotated

from fastapi import Depends, Request

from dpip.api.context import context_of
from dpip.errors import Forbidden, Unauthenticated, WrongPassword
from dpip.model.user import LONGEST_NAME, LONGEST_PASSWORD, Caller, Role, User

_TOKEN_BYTES = 32
_CALLER = "dpip.caller"
"""Where a request notes whom its token speaks for, once that is known."""
_PERSONAL = "dpip_"
"""Begins personal tokens, so that one that lies where it should not is known for what it is."""


def new_token() -> str:
    """Return a fresh secret of 256 bits."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def new_personal_secret() -> str:
    """Return a fresh secret of 256 bits that can be told for a token of DPIP."""
    return _PERSONAL + new_token()


def token_hash(token: str) -> str:
    """Return the SHA-256 of ``token`` in hexadecimal digits, the form in which it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer_token(request: Request) -> str:
    """Return the token that the request carries. Raises ``Unauthenticated`` without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()


def basic_credentials(request: Request) -> tuple[str, str]:
    """Return user name and password (RFC 7617, UTF-8). Raises ``WrongPassword`` without them."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise WrongPassword from error
    name, colon, password = decoded.partition(":")
    if scheme.lower() != "basic" or not colon or "\0" in name:
        raise WrongPassword
    if len(name) > LONGEST_NAME or len(password) > LONGEST_PASSWORD:  # They are nobody's.
        raise WrongPassword
    return name, password


# Those below call each other by themselves: to have FastAPI do it takes several times as long.


async def authenticated(request: Request) -> Caller:
    """Return whom the request's token speaks for. Raises ``Unauthenticated``."""
    known: Caller | None = request.scope.get(_CALLER)
    if known is not None:
        return known
    context = await context_of(request)
    token = bearer_token(request)
    now = context.clock.now()
    caller = await context.datastore.caller(token_hash(token), now)
    if caller is None:
        raise Unauthenticated
    if caller.token_id:
        context.token_use.note(caller.token_id, now)
    request.scope[_CALLER] = caller
    return caller


AnyCaller = Annotated[Caller, Depends(authenticated)]
"""Parameter of a route that is open to users and workers."""


async def authenticated_user(request: Request) -> User:
    """Return the user who asks. Raises ``Forbidden`` for a worker, ``Unauthenticated``."""
    caller = await authenticated(request)
    if caller.user is None:
        raise Forbidden(
            action=f"{request.method} {request.url.path}",
            reason="a worker's token reads and writes the images of its jobs alone",
        )
    return caller.user


AnyUser = Annotated[User, Depends(authenticated_user)]
"""Parameter of a route that is open to users alone."""


async def authenticated_worker(request: Request) -> str:
    """Return the worker who asks. Raises ``Forbidden`` for a user, ``Unauthenticated``."""
    caller = await authenticated(request)
    if caller.worker is None:
        raise Forbidden(
            action=f"{request.method} {request.url.path}",
            reason="results come from the workers that the jobs ran on",
        )
    return caller.worker


AnyWorker = Annotated[str, Depends(authenticated_worker)]
"""Parameter of a route that is open to workers alone: the name of the one that asks."""


async def may_change(request: Request) -> None:
    """Raise ``Forbidden`` for a caller who may only look."""
    caller = await authenticated(request)
    if caller.user and caller.user.role is Role.READ_ONLY:
        raise Forbidden(
            action=f"{request.method} {request.url.path}",
            reason="this account or token may look and download, and change nothing",
        )


async def administrator(request: Request) -> None:
    """Raise ``Forbidden`` for everybody but an administrator."""
    caller = await authenticated(request)
    if caller.user is None or caller.user.role is not Role.ADMINISTRATOR:
        raise Forbidden(
            action=f"{request.method} {request.url.path}",
            reason="it is for administrators and their tokens of scope admin",
        )


async def logged_in(request: Request) -> None:
    """Raise ``Forbidden`` for a personal token: who has found one cannot make it into another."""
    caller = await authenticated(request)
    if caller.token_id:
        raise Forbidden(
            action=f"{request.method} {request.url.path}",
            reason="personal tokens are made and revoked with the token of a login",
        )
