"""What the routes work with."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from dpip.api.admission import Admission
from dpip.api.hints import Hints
from dpip.api.login_throttle import LoginThrottle
from dpip.api.passwords import Passwords
from dpip.api.quotas import Quotas
from dpip.api.settings import ApiSettings
from dpip.api.settled_feed import SettledFeed
from dpip.api.token_use import TokenUse
from dpip.formats import read_header
from dpip.model.image import PictureHeader
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.ports.image_store import ImageStore, StagedFile
from dpip.together import Together, for_each


@dataclass(frozen=True, kw_only=True)
class Context:
    """The ports and settings of one app."""

    datastore: Datastore
    images: ImageStore
    bus: Bus
    clock: Clock
    hints: Hints
    settings: ApiSettings
    passwords: Passwords
    feed: SettledFeed
    admission: Admission
    quotas: Quotas
    token_use: TokenUse
    logins: LoginThrottle
    headers: Together[StagedFile, PictureHeader] = field(
        default_factory=lambda: Together(for_each(_header_of))
    )
    """Reads what a staged picture declares."""


def _header_of(staged: StagedFile) -> PictureHeader:
    with staged.open() as file:
        return read_header(file)


async def context_of(request: Request) -> Context:
    """Return the context of the app that serves the request."""
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(context_of)]
"""Parameter of a route: the context of the app that serves the request."""
