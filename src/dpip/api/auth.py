"""Who is asking: HTTP Basic for a login, a bearer token for everything else."""

import base64
import binascii
import hashlib
import secrets
from typing import Annotated

from fastapi import Depends, Request

from dpip.api.context import InContext
from dpip.errors import Forbidden, Unauthenticated, WrongPassword
from dpip.model.user import Caller, User

_TOKEN_BYTES = 32


def new_token() -> str:
    """Return a fresh secret of 256 bits."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


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
    return name, password


async def authenticated(request: Request, context: InContext) -> Caller:
    """Return whom the request's token speaks for. Raises ``Unauthenticated``."""
    token = bearer_token(request)
    caller = await context.datastore.caller(token_hash(token), context.clock.now())
    if caller is None:
        raise Unauthenticated
    return caller


AnyCaller = Annotated[Caller, Depends(authenticated)]
"""Parameter of a route that is open to users and workers."""


async def authenticated_user(request: Request, caller: AnyCaller) -> User:
    """Return the user who asks. Raises ``Forbidden`` for a worker, ``Unauthenticated``."""
    if caller.user is None:
        raise Forbidden(
            action=f"{request.method} {request.url.path}",
            reason="a worker's token reads and writes the images of its jobs alone",
        )
    return caller.user


AnyUser = Annotated[User, Depends(authenticated_user)]
"""Parameter of a route that is open to users alone."""
