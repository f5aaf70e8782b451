"""The API as an ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI

from dpip.api.admission import Admission
from dpip.api.auth import authenticated, authenticated_user
from dpip.api.context import Context
from dpip.api.errors import answer_errors
from dpip.api.hints import Hints
from dpip.api.login_throttle import LoginThrottle
from dpip.api.openapi import any_problem, describe_api, problems
from dpip.api.passwords import Passwords
from dpip.api.quotas import Quotas
from dpip.api.request_log import RequestLog
from dpip.api.routes import (
    document,
    explain,
    health,
    login,
    staged,
    status,
    tokens,
    workers,
    workloads,
)
from dpip.api.routes import images as image_routes
from dpip.api.security_headers import SecurityHeaders
from dpip.api.settings import ApiSettings
from dpip.api.settled_feed import SettledFeed
from dpip.api.token_use import TokenUse
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.ports.image_store import ImageStore


def create_app(
    *, datastore: Datastore, images: ImageStore, bus: Bus, clock: Clock, settings: ApiSettings
) -> FastAPI:
    """Return the application. It listens on ``bus`` for as long as its lifespan lasts."""
    feed = SettledFeed(bus)
    token_use = TokenUse(datastore)

    @asynccontextmanager
    async def listening(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        await feed.open()
        writing = asyncio.create_task(token_use.keep_writing(), name="write token use")
        try:
            yield
        finally:
            feed.close()
            writing.cancel()
            await token_use.write()

    app = FastAPI(
        title="DPIP",
        description="Distributed and parallel image processing: pictures in, filtered, and out.",
        version=version("dpip"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=listening,
        responses=any_problem(),
    )
    app.state.context = Context(
        datastore=datastore,
        images=images,
        bus=bus,
        hints=Hints(bus),
        clock=clock,
        settings=settings,
        passwords=Passwords(),
        feed=feed,
        admission=Admission(
            datastore,
            pending_jobs=settings.pending_jobs,
            incoming_bytes=settings.incoming_bytes,
        ),
        quotas=Quotas(datastore, settings.quotas, clock),
        token_use=token_use,
        logins=LoginThrottle(datastore, clock),
    )
    _include_routes(app)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    answer_errors(app)
    app.add_middleware(RequestLog)
    app.add_middleware(SecurityHeaders)
    return app


def _include_routes(app: FastAPI) -> None:
    with_token: dict[str, Any] = {
        "dependencies": [Depends(authenticated)],
        "responses": problems(HTTPStatus.UNAUTHORIZED),
    }
    for_users: dict[str, Any] = {
        "dependencies": [Depends(authenticated_user)],
        "responses": problems(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
    }
    # Routes are tried in order, so what is asked for with every picture comes first.
    for router in (staged.router, image_routes.router):
        app.include_router(router, **with_token)
    for router in (workloads.router, status.router, workers.router):
        app.include_router(router, **for_users)
    app.include_router(explain.router, **with_token)
    for router in (login.logout_router, tokens.router, document.router):
        app.include_router(router, **for_users)
    app.include_router(login.login_router)
    app.include_router(health.router)
